// Command record writes what structured-merge-diff makes of random sequences of applies and writes, a sequence a line:
// each step with its input, and the object, the managers' sets and the conflicts that came out.
//
// Usage, in a GOPATH that holds Debian's golang-k8s-sigs-structured-merge-diff-dev (4.1.2; link its folder `v4` to
// itself) and its dependencies:
//
//	GO111MODULE=off go run . 200 22 > ../structured-merge-diff-4.1.2.jsonl
//
// The arguments are the number of sequences and the seed. Some seeds meet a fault of that version: its list of
// conflicts can name one deep path twice in place of its sibling.
package main

import (
	"encoding/json"
	"fmt"
	"math/rand"
	"os"
	"sort"
	"strconv"

	"sigs.k8s.io/structured-merge-diff/v4/fieldpath"
	"sigs.k8s.io/structured-merge-diff/v4/merge"
	"sigs.k8s.io/structured-merge-diff/v4/typed"
)

const schemaYAML = `types:
- name: root
  map:
    fields:
    - name: spec
      type:
        namedType: spec
- name: spec
  map:
    fields:
    - name: atomic
      type:
        list:
          elementType:
            scalar: string
          elementRelationship: atomic
    - name: set
      type:
        list:
          elementType:
            scalar: string
          elementRelationship: associative
    - name: map
      type:
        list:
          elementType:
            namedType: item
          elementRelationship: associative
          keys:
          - name
          - port
    - name: whole
      type:
        map:
          elementType:
            scalar: string
          elementRelationship: atomic
    - name: labels
      type:
        map:
          elementType:
            scalar: string
    - name: struct
      type:
        namedType: struct
    - name: free
      type:
        namedType: deduced
    - name: number
      type:
        scalar: numeric
- name: struct
  map:
    fields:
    - name: a
      type:
        scalar: string
    - name: inner
      type:
        namedType: struct
- name: item
  map:
    fields:
    - name: name
      type:
        scalar: string
    - name: port
      type:
        scalar: numeric
      default: 80
    - name: value
      type:
        scalar: string
    - name: tags
      type:
        list:
          elementType:
            scalar: string
          elementRelationship: associative
- name: deduced
  scalar: untyped
  list:
    elementType:
      namedType: atom
    elementRelationship: atomic
  map:
    elementType:
      namedType: deduced
    elementRelationship: separable
- name: atom
  scalar: untyped
  list:
    elementType:
      namedType: atom
    elementRelationship: atomic
  map:
    elementType:
      namedType: atom
    elementRelationship: atomic
`

type conv struct{}

func (conv) Convert(o *typed.TypedValue, v fieldpath.APIVersion) (*typed.TypedValue, error) {
	return o, nil
}
func (conv) IsMissingVersionError(error) bool { return false }

var r *rand.Rand

func letters(n int) []interface{} {
	out := []interface{}{}
	for _, l := range r.Perm(3) {
		if r.Intn(2) == 0 {
			out = append(out, string(rune('a'+l)))
		}
	}
	return out
}
func strs() map[string]interface{} {
	out := map[string]interface{}{}
	for _, l := range "abc" {
		if r.Intn(3) == 0 {
			out[string(l)] = strconv.Itoa(r.Intn(2))
		}
	}
	return out
}
func structv(depth int) map[string]interface{} {
	out := map[string]interface{}{}
	if r.Intn(2) == 0 {
		out["a"] = strconv.Itoa(r.Intn(2))
	}
	if depth < 2 && r.Intn(2) == 0 {
		out["inner"] = structv(depth + 1)
	}
	return out
}
func free(depth int) interface{} {
	switch r.Intn(6) {
	case 0:
		return strconv.Itoa(r.Intn(2))
	case 1:
		return letters(3)
	default:
		out := map[string]interface{}{}
		for _, l := range "ab" {
			if r.Intn(2) == 0 && depth < 2 {
				out[string(l)] = free(depth + 1)
			}
		}
		return out
	}
}
func items() []interface{} {
	out := []interface{}{}
	for _, n := range r.Perm(4) {
		if r.Intn(2) == 0 {
			continue
		}
		item := map[string]interface{}{"name": string(rune('x' + n/2))}
		if n%2 == 1 {
			item["port"] = int64(81)
		} else if r.Intn(3) == 0 {
			item["port"] = int64(80)
		}
		if r.Intn(2) == 0 {
			item["value"] = strconv.Itoa(r.Intn(2))
		}
		if r.Intn(3) == 0 {
			item["tags"] = letters(3)
		}
		out = append(out, item)
	}
	return out
}
func spec() map[string]interface{} {
	out := map[string]interface{}{}
	put := func(k string, v interface{}) {
		if r.Intn(5) < 2 {
			out[k] = v
		}
	}
	put("atomic", letters(3))
	put("set", letters(3))
	put("map", items())
	put("whole", strs())
	put("labels", strs())
	put("struct", structv(0))
	put("free", free(0))
	put("number", int64(r.Intn(3)))
	return out
}

func clone(v interface{}) interface{} {
	b, _ := json.Marshal(v)
	var out interface{}
	json.Unmarshal(b, &out)
	return fix(out)
}
func fix(v interface{}) interface{} {
	switch t := v.(type) {
	case float64:
		return int64(t)
	case map[string]interface{}:
		for k := range t {
			t[k] = fix(t[k])
		}
	case []interface{}:
		for i := range t {
			t[i] = fix(t[i])
		}
	}
	return v
}

func main() {
	parser, err := typed.NewParser(typed.YAMLObject(schemaYAML))
	if err != nil {
		panic(err)
	}
	root := parser.Type("root")
	count, _ := strconv.Atoi(os.Args[1])
	seed, _ := strconv.Atoi(os.Args[2])
	r = rand.New(rand.NewSource(int64(seed)))
	for n := 0; n < count; n++ {
		up := &merge.Updater{Converter: conv{}}
		live, err := root.FromUnstructured(map[string]interface{}{})
		if err != nil {
			panic(err)
		}
		managers := fieldpath.ManagedFields{}
		steps := []interface{}{}
		for s := 0; s < 2+r.Intn(5); s++ {
			name := string(rune('p' + r.Intn(3)))
			var input map[string]interface{}
			step := map[string]interface{}{"manager": name}
			if r.Intn(3) > 0 { // apply
				input = map[string]interface{}{"spec": spec()}
				if r.Intn(8) == 0 {
					input = map[string]interface{}{}
				}
				force := r.Intn(2) == 0
				step["apply"] = clone(input)
				step["force"] = force
				cfg, err := root.FromUnstructured(input)
				if err != nil {
					panic(err)
				}
				obj, m, err := up.Apply(live, cfg, "v1", managers, name+"/Apply", force)
				if err != nil {
					cs, ok := err.(merge.Conflicts)
					if !ok {
						panic(err)
					}
					lines := []string{}
					for _, c := range cs {
						lines = append(lines, c.Manager+" "+c.Path.String())
					}
					sort.Strings(lines)
					step["conflicts"] = lines
					steps = append(steps, step)
					continue
				}
				managers = m
				if obj != nil {
					live = obj
				}
			} else {
				cur, _ := clone(live.AsValue().Unstructured()).(map[string]interface{})
				if cur == nil {
					cur = map[string]interface{}{}
				}
				if r.Intn(4) == 0 {
					cur = map[string]interface{}{"spec": spec()}
				} else {
					sp, _ := cur["spec"].(map[string]interface{})
					if sp == nil {
						sp = map[string]interface{}{}
					}
					change := spec()
					names := []string{}
					for name := range change {
						names = append(names, name)
					}
					sort.Strings(names)
					for _, name := range names {
						if r.Intn(3) == 0 {
							delete(sp, name)
						} else {
							sp[name] = change[name]
						}
					}
					cur["spec"] = sp
				}
				step["update"] = clone(cur)
				obj, err := root.FromUnstructured(cur)
				if err != nil {
					panic(err)
				}
				_, m, err := up.Update(live, obj, "v1", managers, "self")
				if err != nil {
					panic(err)
				}
				if vs, ok := m["self"]; ok {
					delete(m, "self")
					id := name + "/Update"
					if prev, ok := m[id]; ok {
						m[id] = fieldpath.NewVersionedSet(vs.Set().Union(prev.Set()), "v1", false)
					} else {
						m[id] = vs
					}
				}
				managers = m
				live = obj
			}
			step["object"] = clone(live.AsValue().Unstructured())
			sets := map[string]interface{}{}
			for k, vs := range managers {
				b, err := vs.Set().ToJSON()
				if err != nil {
					panic(err)
				}
				var x interface{}
				json.Unmarshal(b, &x)
				if vs.Set().Empty() {
					continue
				}
				sets[k] = x
			}
			step["managers"] = sets
			steps = append(steps, step)
		}
		b, _ := json.Marshal(steps)
		fmt.Println(string(b))
	}
}
