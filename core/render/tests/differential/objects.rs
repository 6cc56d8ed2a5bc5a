//! Everyday objects, with blanks.

/// Objects: `NAME`, `OTHER`, `IMAGE` and `NS` (a line of its own, or nothing) are filled in.
pub(crate) const OBJECTS: &[&str] = &[
    "apiVersion: apps/v1
kind: Deployment
metadata:
  name: NAME
NS  labels: {app: NAME, tier: front}
spec:
  replicas: 2
  selector:
    matchLabels: {app: NAME}
  template:
    metadata:
      labels: {app: NAME}
      annotations: {note: 'yes'}
    spec:
      serviceAccountName: OTHER
      initContainers:
      - name: init
        image: IMAGE
      containers:
      - name: main
        image: IMAGE
        args: [--port=80, '--name=$(SOME_VAR)']
        ports:
        - containerPort: 80
          name: http
        - containerPort: 443
          protocol: TCP
        env:
        - name: A
          value: 'on'
        - name: B
          valueFrom: {configMapKeyRef: {name: OTHER, key: k}}
        - name: C
          valueFrom: {secretKeyRef: {name: NAME, key: k}}
        envFrom:
        - configMapRef: {name: NAME}
        volumeMounts:
        - {name: v, mountPath: /v}
      volumes:
      - name: v
        configMap: {name: NAME}
      - name: s
        secret: {secretName: OTHER}
      - name: p
        projected:
          sources:
          - configMap: {name: OTHER}
          - secret: {name: NAME}
",
    "apiVersion: apps/v1
kind: StatefulSet
metadata:
  name: NAME
NSspec:
  serviceName: NAME
  selector: {matchLabels: {app: NAME}}
  template:
    metadata: {labels: {app: NAME}}
    spec:
      containers:
      - {name: main, image: IMAGE}
      - {name: side, image: IMAGE}
  volumeClaimTemplates:
  - metadata: {name: data, labels: {app: NAME}}
    spec: {resources: {requests: {storage: 1Gi}}}
",
    "apiVersion: v1
kind: Service
metadata:
  name: NAME
  annotations:
    a.b/c: \"x\"
NSspec:
  selector: {app: NAME}
  ports:
  - port: 80
    targetPort: http
  - port: 53
    protocol: UDP
",
    "apiVersion: v1
kind: ConfigMap
metadata:
  name: NAME
NSdata:
  k: \"1\"
  text: |
    several
      lines
  host: OTHER.example.com
",
    "apiVersion: v1
kind: Secret
metadata: {name: NAME}
type: Opaque
stringData: {k: v}
",
    "apiVersion: v1
kind: ServiceAccount
metadata:
  name: NAME
NSimagePullSecrets:
- name: OTHER
",
    "apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: NAME
NSsubjects:
- kind: ServiceAccount
  name: NAME
- kind: ServiceAccount
  name: default
  namespace: shop
- kind: ServiceAccount
  name: OTHER
  namespace: ops
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: Role, name: NAME}
",
    "apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: NAME
NSrules:
- apiGroups: ['']
  resources: [secrets]
  resourceNames: [NAME, OTHER]
  verbs: [get]
",
    "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata:
  name: NAME
subjects:
- kind: ServiceAccount
  name: NAME
  namespace: default
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: OTHER}
",
    "apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata:
  name: NAME
rules: []
",
    "apiVersion: networking.k8s.io/v1
kind: Ingress
metadata:
  name: NAME
NSspec:
  tls: [{hosts: [a.example.com], secretName: NAME}]
  rules:
  - host: a.example.com
    http:
      paths:
      - path: /
        pathType: Prefix
        backend: {service: {name: NAME, port: {number: 80}}}
",
    "apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata:
  name: NAME
NSspec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: NAME}
  maxReplicas: 3
",
    "apiVersion: batch/v1
kind: CronJob
metadata:
  name: NAME
NSspec:
  schedule: '*/5 * * * *'
  jobTemplate:
    metadata: {labels: {job: NAME}}
    spec:
      template:
        spec:
          restartPolicy: Never
          containers:
          - {name: c, image: IMAGE, envFrom: [{secretRef: {name: OTHER}}]}
",
    "apiVersion: batch/v1
kind: Job
metadata:
  name: NAME
spec:
  template:
    spec:
      containers:
      - name: c
        image: IMAGE
      restartPolicy: OnFailure
",
    "apiVersion: v1
kind: PersistentVolumeClaim
metadata:
  name: NAME
NSspec:
  storageClassName: OTHER
  accessModes: [ReadWriteOnce]
",
    "apiVersion: networking.k8s.io/v1
kind: NetworkPolicy
metadata:
  name: NAME
NSspec:
  podSelector: {matchLabels: {app: NAME}}
  ingress:
  - from:
    - podSelector: {matchLabels: {app: OTHER}}
    - podSelector: {matchExpressions: [{key: a, operator: Exists}]}
",
    "apiVersion: policy/v1
kind: PodDisruptionBudget
metadata:
  name: NAME
NSspec:
  minAvailable: 50%
  selector:
    matchLabels: {app: NAME}
",
    "apiVersion: v1
kind: Namespace
metadata:
  name: NAME
",
    "apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata:
  name: widgets.example.com
spec:
  group: example.com
  names: {kind: Widget, plural: widgets}
  scope: Namespaced
  versions: []
",
    "apiVersion: example.com/v1
kind: Widget
metadata:
  name: NAME
NSspec:
  image: IMAGE
  selector: {app: OTHER}
  list: [1, 2, 3]
  items:
  - {name: a, value: 1}
  - {name: b, value: 2.50}
  configRef: {name: NAME}
  flag: yes
  empty: {}
  nothing: null
",
    "apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingWebhookConfiguration
metadata:
  name: NAME
webhooks:
- name: w.example.com
  clientConfig: {service: {name: NAME, namespace: shop}}
",
    "apiVersion: v1
kind: List
items:
- apiVersion: v1
  kind: ConfigMap
  metadata: {name: NAME-listed}
  data: {a: b}
- apiVersion: v1
  kind: Service
  metadata: {name: OTHER-listed}
  spec: {selector: {app: x}}
",
    "apiVersion: v1
kind: Pod
metadata:
  name: NAME
NS  labels:
    app: \"123\"
spec:
  containers:
  - name: c
    image: IMAGE
    command: ['sh', '-c', 'echo $(SOME_VAR) $(OTHER_VAR)']
",
];
