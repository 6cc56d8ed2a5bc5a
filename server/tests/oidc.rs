//! Promises of the login by OpenID Connect, against a provider that tells the truth, lies, or is away.

#![allow(clippy::unwrap_used)]

mod support;

use std::convert::Infallible;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use http::header::{LOCATION, SET_COOKIE};
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use jiff::Timestamp;
use jsonwebtoken::{Algorithm, EncodingKey, Header};
use parking_lot::Mutex;
use seaway_git::OutgoingPolicy;
use seaway_ledger::EventFilter;
use seaway_server::{Oidc, Role};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use support::{Answer, World};

const CLIENT: &str = "seaway";
const SECRET: &str = "a secret: of the client";

/// What the provider says, and how it is asked.
struct Says {
    issuer: String,
    metadata: Value,
    keys: Value,
    /// Signs ID tokens, under a key id.
    signer: (Key, &'static str),
    /// Changes the claims of the next ID tokens.
    claims: Box<dyn Fn(&mut Value) + Send>,
    user_information: Value,
    token_status: u16,
    /// In place of an ID token of its own.
    forged: Option<String>,
    /// The nonce and the challenge of the login that was begun last.
    begun: (String, String),
    /// The forms that the token endpoint got, with the header that said who sent them.
    forms: Vec<(Vec<(String, String)>, String)>,
}

/// An elliptic key (P-256), made for the test.
struct Key {
    signing: EncodingKey,
    public: Value,
}

fn key(id: &str) -> Key {
    use aws_lc_rs::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
    let random = aws_lc_rs::rand::SystemRandom::new();
    let pkcs8 = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, pkcs8.as_ref()).unwrap();
    // 0x04, x, y.
    let point = &pair.public_key().as_ref()[1..];
    let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
    let public = json!({"kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": id,
        "x": text(&point[..32]), "y": text(&point[32..])});
    Key { signing: EncodingKey::from_ec_der(pkcs8.as_ref()), public }
}

/// A provider on a port of its own.
#[derive(Clone)]
struct Provider(Arc<Mutex<Says>>);

impl Provider {
    async fn start() -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let own = key("one");
        let says = Says {
            metadata: json!({"issuer": issuer, "authorization_endpoint": format!("{issuer}/auth"),
                "token_endpoint": format!("{issuer}/token"), "jwks_uri": format!("{issuer}/keys"),
                "userinfo_endpoint": format!("{issuer}/me")}),
            issuer,
            keys: json!({"keys": [own.public]}),
            signer: (own, "one"),
            claims: Box::new(|_: &mut Value| {}),
            user_information: json!({}),
            token_status: 200,
            forged: None,
            begun: Default::default(),
            forms: Vec::new(),
        };
        let provider = Self(Arc::new(Mutex::new(says)));
        let serving = provider.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let provider = serving.clone();
                let service = service_fn(move |request| {
                    let provider = provider.clone();
                    async move { Ok::<_, Infallible>(provider.answer(request).await) }
                });
                let connection = hyper::server::conn::http1::Builder::new()
                    .serve_connection(TokioIo::new(stream), service);
                tokio::spawn(connection);
            }
        });
        provider
    }

    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        let mut says = self.0.lock();
        let (status, value) = match head.uri.path() {
            "/.well-known/openid-configuration" => (200, says.metadata.clone()),
            "/keys" => (200, says.keys.clone()),
            "/token" => {
                let form = form_urlencoded::parse(&body).into_owned().collect();
                let who = head.headers.get("authorization").map_or("", |value| value.to_str().unwrap());
                says.forms.push((form, who.to_owned()));
                match says.token_status {
                    200 => (
                        200,
                        json!({"id_token": says.token(), "access_token": "for-me", "token_type": "Bearer"}),
                    ),
                    status => (status, json!({"error": "invalid_grant", "error_description": "<b>"})),
                }
            }
            "/me" => {
                assert_eq!(head.headers["authorization"], "Bearer for-me");
                (200, says.user_information.clone())
            }
            _ => (404, json!({})),
        };
        Response::builder().status(status).body(Full::from(value.to_string())).unwrap()
    }

    fn change(&self, change: impl FnOnce(&mut Says)) {
        change(&mut self.0.lock());
    }

    fn settings(&self) -> Oidc {
        Oidc {
            issuer: self.0.lock().issuer.clone(),
            display_name: "the office".into(),
            client_id: CLIENT.into(),
            client_secret: Some(SECRET.to_owned().into()),
            scopes: vec!["profile".into()],
            username_claim: "preferred_username".into(),
            groups_claim: "groups".into(),
            roles: ["platform=operator", "shop=developer:shop/staging"]
                .map(|role| role.parse().unwrap())
                .into(),
            default_role: None,
            authority: None,
        }
    }
}

impl Says {
    fn token(&self) -> String {
        if let Some(forged) = &self.forged {
            return forged.clone();
        }
        let now = Timestamp::now().as_second();
        let mut claims = json!({"iss": self.issuer, "aud": CLIENT, "sub": "1", "exp": now + 300, "iat": now,
            "nonce": self.begun.0, "preferred_username": "Jane.Doe", "groups": ["platform"]});
        (self.claims)(&mut claims);
        let mut header = Header::new(Algorithm::ES256);
        header.kid = Some(self.signer.1.to_owned());
        jsonwebtoken::encode(&header, &claims, &self.signer.0.signing).unwrap()
    }
}

/// Loopback over plain http is where the test's provider is.
fn policy() -> OutgoingPolicy {
    OutgoingPolicy { loopback: true, plain_http: true, ..OutgoingPolicy::default() }
}

async fn world(provider: &Provider) -> World {
    let world = World::start_with_oidc(provider.settings(), policy()).await;
    for object in seaway_server::group_bindings() {
        world.create(object).await;
    }
    let rbac = "rbac.authorization.k8s.io";
    world
        .create(json!({"apiVersion": format!("{rbac}/v1"), "kind": "ClusterRoleBinding",
            "metadata": {"name": "administrators"},
            "roleRef": {"apiGroup": rbac, "kind": "ClusterRole", "name": "seaway-admin"},
            "subjects": [{"apiGroup": rbac, "kind": "Group", "name": seaway_server::ADMINS}]}))
        .await;
    world
}

async fn get(world: &World, path: &str, cookie: &str) -> Answer {
    // As a browser does that comes back from another site by a link.
    let request =
        world.request(Method::GET, path).header("sec-fetch-site", "cross-site").header("cookie", cookie);
    world.send(request.body(Full::default()).unwrap()).await
}

fn location(answer: &Answer) -> &str {
    assert_eq!(answer.status, 303, "{answer:?}");
    answer.headers[LOCATION].to_str().unwrap()
}

/// The cookies that an answer sets, without what is forgotten.
fn cookies(answer: &Answer) -> String {
    let set = answer.headers.get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap());
    let kept: Vec<&str> =
        set.filter(|set| !set.contains("Max-Age=0")).map(|set| set.split(';').next().unwrap()).collect();
    kept.join("; ")
}

/// Goes to the provider: the cookie that the browser carries, and the state that it must bring back.
async fn begin(world: &World, provider: &Provider, next: &str) -> (String, String) {
    let begun = get(world, &format!("/api/v1/oidc/login?next={next}"), "").await;
    let to = location(&begun).to_owned();
    let (endpoint, query) = to.split_once('?').unwrap();
    let query: std::collections::HashMap<String, String> =
        form_urlencoded::parse(query.as_bytes()).into_owned().collect();
    provider.change(|says| {
        assert_eq!(endpoint, format!("{}/auth", says.issuer));
        says.begun = (query["nonce"].clone(), query["code_challenge"].clone());
    });
    assert_eq!((query["response_type"].as_str(), query["client_id"].as_str()), ("code", CLIENT));
    assert_eq!(
        (query["scope"].as_str(), query["code_challenge_method"].as_str()),
        ("openid profile", "S256")
    );
    (cookies(&begun), query["state"].clone())
}

async fn come_back(world: &World, (cookie, state): &(String, String), more: &str) -> Answer {
    get(world, &format!("/api/v1/oidc/callback?code=the-code&state={state}{more}"), cookie).await
}

/// A whole login.
async fn log_in(world: &World, provider: &Provider) -> Answer {
    let begun = begin(world, provider, "/").await;
    come_back(world, &begun, "").await
}

/// Where a failed login leads; nobody is logged in by it.
async fn fails(world: &World, provider: &Provider) -> String {
    let answer = log_in(world, provider).await;
    assert_eq!(cookies(&answer), "", "no session begins");
    location(&answer).to_owned()
}

async fn session(world: &World, cookie: &str) -> Answer {
    let request = world.request(Method::GET, "/api/v1/session").header("cookie", cookie);
    world.send(request.body(Full::default()).unwrap()).await
}

#[tokio::test]
async fn whom_the_provider_vouches_for_gets_in_and_is_what_the_groups_say() {
    let provider = Provider::start().await;
    let world = world(&provider).await;
    let page = get(&world, "/api/v1/login", "").await;
    assert_eq!(page.body["methods"], json!(["password", "oidc"]));
    assert_eq!(page.body["provider"]["name"], "the office");
    assert!(page.body["provider"]["url"].as_str().unwrap().ends_with("/api/v1/oidc/login"));

    let begun = begin(&world, &provider, "%2Fenvironments%2Fseaway%2Fstaging").await;
    let answer = come_back(&world, &begun, "").await;
    assert_eq!(location(&answer), "/environments/seaway/staging");
    let set: Vec<&str> =
        answer.headers.get_all(SET_COOKIE).iter().map(|value| value.to_str().unwrap()).collect();
    assert!(
        set.iter().any(|set| set.starts_with("seaway_session=") && set.contains("SameSite=Strict")),
        "{set:?}"
    );
    assert!(set.iter().any(|set| set.starts_with("seaway_oidc=;") && set.contains("Max-Age=0")), "{set:?}");
    let cookie = cookies(&answer);
    let who = session(&world, &cookie).await;
    assert_eq!(who.status, 200, "{who:?}");
    assert_eq!((&who.body["user"], &who.body["method"]), (&json!("jane-doe"), &json!("oidc")));
    assert_eq!(who.body["groups"], json!(["seaway:operators", "system:authenticated"]));

    // The code is sent once, with the verifier of this login, by this client.
    let (form, from) = provider.0.lock().forms.pop().unwrap();
    let field = |name: &str| form.iter().find(|(key, _)| key == name).unwrap().1.as_str();
    assert_eq!((field("grant_type"), field("code")), ("authorization_code", "the-code"));
    let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(field("code_verifier")));
    assert_eq!(challenge, provider.0.lock().begun.1);
    assert_eq!(from, "Basic c2Vhd2F5OmErc2VjcmV0JTNBK29mK3RoZStjbGllbnQ=");

    // Another role there is another one here, with the next login.
    provider.change(|says| says.claims = Box::new(|claims: &mut Value| claims["groups"] = json!(["shop"])));
    let cookie = cookies(&log_in(&world, &provider).await);
    let who = session(&world, &cookie).await;
    assert_eq!(who.body["groups"], json!(["seaway:developers:shop:staging", "system:authenticated"]));
    let accounts = world.get("admin", "/api/v1/accounts").await;
    assert_eq!(accounts.body["items"].as_array().unwrap().len(), 1, "it is the same account");
    assert_eq!(accounts.body["items"][0]["state"], "active");
    let roles: kube::Api<k8s_openapi::api::rbac::v1::Role> = kube::Api::namespaced(world.cluster(), "seaway");
    roles.get("seaway:developers:shop:staging").await.unwrap();
    let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(world.cluster());
    namespaces.get("seaway-jane-doe").await.unwrap();
    world.stop().await;
}

#[tokio::test]
async fn what_an_id_token_leaves_out_is_asked_for_and_must_be_about_the_same_person() {
    let provider = Provider::start().await;
    let world = world(&provider).await;
    provider.change(|says| {
        says.claims = Box::new(|claims: &mut Value| {
            let claims = claims.as_object_mut().unwrap();
            claims.remove("preferred_username");
            claims.remove("groups");
        });
        says.user_information = json!({"sub": "1", "preferred_username": "jane", "groups": "platform"});
    });
    let cookie = cookies(&log_in(&world, &provider).await);
    assert_eq!(session(&world, &cookie).await.body["user"], "jane");
    provider.change(|says| says.user_information["sub"] = "2".into());
    assert_eq!(fails(&world, &provider).await, "/login?failed=invalid");
    world.stop().await;
}

/// Each is something that a provider, or somebody between, could say.
#[tokio::test]
async fn a_lie_lets_nobody_in() {
    let provider = Provider::start().await;
    let world = world(&provider).await;
    let now = Timestamp::now().as_second();
    type Change = Box<dyn Fn(&mut Value) + Send>;
    let lies: [(&str, Change); 13] = [
        ("issuer", Box::new(|claims: &mut Value| claims["iss"] = "http://evil.example".into())),
        ("no issuer", Box::new(|claims: &mut Value| claims["iss"] = Value::Null)),
        ("audience", Box::new(|claims: &mut Value| claims["aud"] = "another".into())),
        (
            "one of several, issued to another",
            Box::new(|claims: &mut Value| {
                claims["aud"] = json!([CLIENT, "another"]);
                claims["azp"] = "another".into();
            }),
        ),
        (
            "several and nobody named",
            Box::new(|claims: &mut Value| claims["aud"] = json!([CLIENT, "another"])),
        ),
        ("nonce", Box::new(|claims: &mut Value| claims["nonce"] = "another".into())),
        ("no nonce", Box::new(|claims: &mut Value| claims["nonce"] = Value::Null)),
        ("expired", Box::new(move |claims: &mut Value| claims["exp"] = (now - 120).into())),
        ("no end", Box::new(|claims: &mut Value| claims["exp"] = Value::Null)),
        ("a time that is none", Box::new(|claims: &mut Value| claims["exp"] = "tomorrow".into())),
        ("issued in the future", Box::new(move |claims: &mut Value| claims["iat"] = (now + 3600).into())),
        ("not good yet", Box::new(move |claims: &mut Value| claims["nbf"] = (now + 3600).into())),
        ("nobody", Box::new(|claims: &mut Value| claims["sub"] = "".into())),
    ];
    for (what, lie) in lies {
        provider.change(|says| says.claims = lie);
        assert_eq!(fails(&world, &provider).await, "/login?failed=invalid", "{what}");
    }
    provider.change(|says| says.claims = Box::new(|_: &mut Value| {}));
    assert_eq!(location(&log_in(&world, &provider).await), "/", "and the truth does");
    world.stop().await;
}

#[tokio::test]
async fn only_a_signature_of_the_providers_own_key_counts() {
    let provider = Provider::start().await;
    let world = world(&provider).await;
    // Another key under the same name.
    provider.change(|says| says.signer = (key("one"), "one"));
    assert_eq!(fails(&world, &provider).await, "/login?failed=invalid");
    // None at all, and one by a secret that everybody knows.
    for algorithm in ["none", "HS256"] {
        let begun = begin(&world, &provider, "/").await;
        provider.change(|says| {
            let now = Timestamp::now().as_second();
            let claims = json!({"iss": says.issuer, "aud": CLIENT, "sub": "1", "exp": now + 300, "iat": now,
                "nonce": says.begun.0, "preferred_username": "jane", "groups": ["platform"]});
            let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
            let signed = format!("{}.{}", part(&json!({"alg": algorithm, "kid": "one"})), part(&claims));
            let public = says.keys["keys"][0]["x"].as_str().unwrap();
            let key = aws_lc_rs::hmac::Key::new(aws_lc_rs::hmac::HMAC_SHA256, public.as_bytes());
            let tag = URL_SAFE_NO_PAD.encode(aws_lc_rs::hmac::sign(&key, signed.as_bytes()).as_ref());
            says.forged =
                Some(if algorithm == "none" { format!("{signed}.") } else { format!("{signed}.{tag}") });
        });
        let answer = come_back(&world, &begun, "").await;
        assert_eq!(
            (location(&answer), cookies(&answer).as_str()),
            ("/login?failed=invalid", ""),
            "{algorithm}"
        );
    }
    world.stop().await;
}

/// Providers change their keys.
#[tokio::test]
async fn a_new_key_is_read_when_it_is_first_used() {
    let provider = Provider::start().await;
    let world = world(&provider).await;
    log_in(&world, &provider).await;
    world.later(60);
    provider.change(|says| {
        let two = key("two");
        says.keys["keys"].as_array_mut().unwrap().push(two.public.clone());
        says.signer = (two, "two");
    });
    assert_eq!(location(&log_in(&world, &provider).await), "/");
    // One that is published nowhere is asked for once in a while.
    provider.change(|says| says.signer = (key("three"), "three"));
    assert_eq!(fails(&world, &provider).await, "/login?failed=invalid");
    world.stop().await;
}

#[tokio::test]
async fn an_answer_counts_in_the_browser_that_asked_and_for_a_while() {
    let provider = Provider::start().await;
    let world = world(&provider).await;
    let expired = "/login?failed=expired";
    let (cookie, state) = begin(&world, &provider, "/").await;
    let other = begin(&world, &provider, "/").await;
    for (what, carried) in [
        ("no cookie", (String::new(), state.clone())),
        ("another login's", (other.0.clone(), state.clone())),
        ("two cookies", (format!("{cookie}; {}", other.0), state.clone())),
        ("another state", (cookie.clone(), "x".repeat(43))),
        ("a cookie that is none", ("seaway_oidc=e30".to_owned(), state.clone())),
    ] {
        assert_eq!(location(&come_back(&world, &carried, "").await), expired, "{what}");
    }
    assert!(provider.0.lock().forms.is_empty(), "the provider was asked for nothing");
    let late = begin(&world, &provider, "/").await;
    world.later(16 * 60);
    assert_eq!(location(&come_back(&world, &late, "").await), expired);
    // Somebody else's answer is not sent to this provider.
    let mixed = begin(&world, &provider, "/").await;
    assert_eq!(
        location(&come_back(&world, &mixed, "&iss=http://evil.example").await),
        "/login?failed=invalid"
    );
    let path = format!("/api/v1/oidc/callback?error=access_denied&state={}", mixed.1);
    assert_eq!(location(&get(&world, &path, &mixed.0).await), "/login?failed=denied");
    world.stop().await;
}

#[tokio::test]
async fn one_comes_back_to_the_page_and_to_no_other_site() {
    let provider = Provider::start().await;
    let world = world(&provider).await;
    for bad in ["https://evil.example", "//evil.example", "/%5Cevil.example", "/%0d%0aset-cookie:%20a=b"] {
        let begun = begin(&world, &provider, bad).await;
        assert_eq!(location(&come_back(&world, &begun, "").await), "/", "{bad}");
    }
    world.stop().await;
}

#[tokio::test]
async fn a_provider_that_is_away_or_somebody_else_is_told() {
    let provider = Provider::start().await;
    let world = world(&provider).await;
    let begin = async || location(&get(&world, "/api/v1/oidc/login", "").await).to_owned();
    provider.change(|says| says.metadata["issuer"] = "http://evil.example".into());
    assert_eq!(begin().await, "/login?failed=invalid");
    provider.change(|says| says.metadata = json!("<html>"));
    assert_eq!(begin().await, "/login?failed=unavailable");
    world.stop().await;

    let provider = Provider::start().await;
    // Nobody listens there.
    let mut settings = provider.settings();
    settings.issuer = "http://127.0.0.1:1".into();
    let world = World::start_with_oidc(settings, policy()).await;
    assert_eq!(location(&get(&world, "/api/v1/oidc/login", "").await), "/login?failed=unavailable");
    // Whoever has a password gets in as before.
    assert_eq!(get(&world, "/api/v1/login", "").await.status, 200);
    world.stop().await;
}

#[tokio::test]
async fn a_code_that_is_refused_lets_nobody_in_and_its_error_is_not_shown() {
    let provider = Provider::start().await;
    let world = world(&provider).await;
    provider.change(|says| says.token_status = 400);
    assert_eq!(fails(&world, &provider).await, "/login?failed=denied");
    provider.change(|says| says.token_status = 500);
    assert_eq!(fails(&world, &provider).await, "/login?failed=unavailable");
    world.stop().await;
}

/// The provider is asked where the policy lets it alone.
#[tokio::test]
async fn the_policy_for_what_goes_out_holds_for_the_provider() {
    let provider = Provider::start().await;
    let nothing = OutgoingPolicy::default();
    for policy in [
        nothing,
        OutgoingPolicy { plain_http: true, ..nothing },
        OutgoingPolicy { loopback: true, ..nothing },
    ] {
        let world = World::start_with_oidc(provider.settings(), policy).await;
        let answer = get(&world, "/api/v1/oidc/login", "").await;
        assert_eq!(location(&answer), "/login?failed=unavailable", "{policy:?}");
        world.stop().await;
    }
}

#[tokio::test]
async fn nobody_takes_over_an_account_by_its_name_and_who_has_no_role_stays_out() {
    let provider = Provider::start().await;
    let world = world(&provider).await;
    let local =
        world.post("admin", "/api/v1/accounts", json!({"name": "jane-doe", "role": Role::Viewer})).await;
    assert_eq!(local.status, 200, "{local:?}");
    assert_eq!(fails(&world, &provider).await, "/login?failed=taken");
    let deleted = world.act("admin", Method::DELETE, "/api/v1/accounts/jane-doe", &Value::Null).await;
    assert_eq!(deleted.status, 200, "{deleted:?}");
    assert_eq!(location(&log_in(&world, &provider).await), "/");
    // Another person there whom the provider calls the same.
    provider.change(|says| says.claims = Box::new(|claims: &mut Value| claims["sub"] = "2".into()));
    assert_eq!(fails(&world, &provider).await, "/login?failed=taken");
    provider
        .change(|says| says.claims = Box::new(|claims: &mut Value| claims["groups"] = json!(["elsewhere"])));
    assert_eq!(fails(&world, &provider).await, "/login?failed=role");
    provider.change(|says| {
        says.claims = Box::new(|claims: &mut Value| claims["preferred_username"] = "system:admin".into())
    });
    assert_eq!(fails(&world, &provider).await, "/login?failed=name");

    let filter = EventFilter { action: Some("session.oidc".into()), ..EventFilter::default() };
    let events = world.ledger.events(&filter, 10).await.unwrap().items;
    let reasons: Vec<&Value> = events.iter().rev().map(|event| &event.detail["reason"]).collect();
    assert_eq!(reasons, ["taken", "taken", "role", "name"]);
    world.stop().await;
}

#[tokio::test]
async fn the_provider_is_not_asked_without_end() {
    let provider = Provider::start().await;
    let world = world(&provider).await;
    let mut last = 0;
    for _ in 0..30 {
        last = get(&world, "/api/v1/oidc/callback?code=x&state=y", "").await.status;
    }
    assert_eq!(last, 429);
    assert!(provider.0.lock().forms.is_empty());
    world.later(16 * 60);
    // Later the provider is asked again; by now its clock is another one.
    let begun = begin(&world, &provider, "/").await;
    assert_eq!(location(&come_back(&world, &begun, "").await), "/login?failed=invalid");
    assert_eq!(provider.0.lock().forms.len(), 1);
    world.stop().await;
}

#[tokio::test]
async fn without_a_provider_there_is_nothing_to_ask() {
    let world = World::start().await;
    for path in ["/api/v1/oidc/login", "/api/v1/oidc/callback?code=x&state=y"] {
        assert_eq!(get(&world, path, "").await.status, 404, "{path}");
    }
    world.stop().await;
}
