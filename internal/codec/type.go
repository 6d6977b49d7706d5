package codec

import (
	"encoding"
	"encoding/json"
	"fmt"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"sync"

	jsonv2 "github.com/go-json-experiment/json"
)

// CheckType reports whether values of t that differ become JSON that differs, as far as the type tells: arguments that
// lose a field on their way would be taken for others that differ in that field alone. The error names the type and the
// field. Types with a MarshalJSON or MarshalText of their own are believed, and what is in an interface is not looked at.
// Each type is walked once.
func CheckType(t reflect.Type, ignoreUnexported bool) error {
	checked := &checkedTypes[0]
	if ignoreUnexported {
		checked = &checkedTypes[1]
	}
	if known, ok := checked.Load(t); ok {
		err, _ := known.(error)
		return err
	}
	w := typeWalk{ignoreUnexported, map[reflect.Type]bool{}}
	err := w.walk(t, true)
	checked.Store(t, err)
	return err
}

// checkedTypes has what is wrong with each type that was walked, by whether unexported fields are ignored.
var checkedTypes [2]sync.Map // reflect.Type -> error

type typeWalk struct {
	ignoreUnexported bool
	seen             map[reflect.Type]bool
}

// walk checks a type. A value that has no address has no methods with a pointer receiver: the element of a map.
func (w typeWalk) walk(t reflect.Type, hasAddress bool) error {
	if w.seen[t] {
		return nil
	}
	w.seen[t] = true
	if marshals(t, hasAddress) {
		return checkPromoted(t)
	}
	switch t.Kind() {
	case reflect.Chan, reflect.Func, reflect.Complex64, reflect.Complex128, reflect.UnsafePointer:
		return fmt.Errorf("type %v has no JSON", t)
	case reflect.Pointer, reflect.Slice:
		return w.walk(t.Elem(), true)
	case reflect.Array:
		return w.walk(t.Elem(), hasAddress)
	case reflect.Map:
		return w.walk(t.Elem(), false)
	case reflect.Struct:
		return w.walkStruct(t, hasAddress)
	}
	return nil
}

func (w typeWalk) walkStruct(t reflect.Type, hasAddress bool) error {
	fields, err := w.fieldsOf(t)
	if err != nil {
		return err
	}
	if len(fields) == 0 && t.Size() > 0 {
		return fmt.Errorf("no field of %v becomes JSON, so all of its values would be the same call", t)
	}
	for _, f := range fields {
		if err := w.walk(f.Type, hasAddress); err != nil {
			return fmt.Errorf("field %s of %v: %w", f.Name, t, err)
		}
	}
	return nil
}

// fieldsOf returns the fields of a struct that become JSON, with those of embedded structs, by the rules of
// encoding/json: the least embedded one of a name wins, and one whose tag says the name wins over others as deep.
func (w typeWalk) fieldsOf(t reflect.Type) ([]jsonField, error) {
	var fields []jsonField
	taken := map[string]bool{}
	visited := map[reflect.Type]bool{}
	for level := []reflect.Type{t}; len(level) > 0; {
		var next []reflect.Type
		found := map[string][]jsonField{}
		var names []string
		for _, s := range level {
			visited[s] = true
			for i := range s.NumField() {
				f := s.Field(i)
				name, embedded, err := w.jsonName(s, f)
				switch {
				case err != nil:
					return nil, err
				case embedded != nil && !visited[embedded]:
					next = append(next, embedded) // a type twice at a level has each of its names twice, as it should
				case name != "":
					if found[name] == nil {
						names = append(names, name)
					}
					found[name] = append(found[name], jsonField{s, f, name, hasName(f)})
				}
			}
		}
		for _, name := range names {
			if taken[name] {
				continue
			}
			taken[name] = true
			f, ok := dominant(found[name])
			if !ok {
				return nil, fmt.Errorf("fields %v.%s and %v.%s of %v are both %q in JSON, so both are lost",
					found[name][0].of, found[name][0].Name, found[name][1].of, found[name][1].Name, t, name)
			}
			fields = append(fields, f)
		}
		level = next
	}
	return fields, nil
}

// jsonField is a field of a struct, which may be embedded in another.
type jsonField struct {
	of reflect.Type
	reflect.StructField
	name  string
	named bool // by its tag
}

// dominant returns the one of fields of one name and depth that becomes JSON; none if it is not clear which.
func dominant(fields []jsonField) (jsonField, bool) {
	var named []jsonField
	for _, f := range fields {
		if f.named {
			named = append(named, f)
		}
	}
	if len(named) == 1 {
		return named[0], true
	}
	return fields[0], len(fields) == 1
}

// jsonName returns the name of a field in JSON; or the struct whose fields stand in its place; or neither, if it is to be
// left out. The error is that it would be left out although it has something to say.
func (w typeWalk) jsonName(s reflect.Type, f reflect.StructField) (name string, embedded reflect.Type, err error) {
	tag := f.Tag.Get("json")
	if tag == "-" || f.Name == "_" {
		return "", nil, nil
	}
	inner := f.Type
	if f.Anonymous && inner.Kind() == reflect.Pointer {
		inner = inner.Elem()
	}
	if f.Anonymous && inner.Kind() == reflect.Struct && !hasName(f) {
		return "", inner, nil
	}
	if f.IsExported() || f.Anonymous && inner.Kind() == reflect.Struct {
		name, _, _ = strings.Cut(tag, ",")
		if name == "" {
			name = f.Name
		}
		return name, nil, nil
	}
	if w.ignoreUnexported || f.Type.Size() == 0 || f.Type.PkgPath() == "sync" || f.Type.PkgPath() == "sync/atomic" {
		return "", nil, nil
	}
	return "", nil, fmt.Errorf("field %s of %v is not exported, so calls that differ in it alone would be one: "+
		"export it, tag it `json:\"-\"`, or set Func.IgnoreUnexported", f.Name, s)
}

// Members returns the names that the members of arguments of a type have, and whether Go always writes one: unless it is
// tagged omitempty or omitzero. All: the arguments may have any members, or are no object. t has passed [CheckType].
func Members(t reflect.Type, ignoreUnexported bool) (members map[string]bool, all bool) {
	for t.Kind() == reflect.Pointer && !ownJSON(t) {
		t = t.Elem()
	}
	if t.Kind() != reflect.Struct || ownJSON(t) {
		return nil, true
	}
	fields, _ := typeWalk{ignoreUnexported: ignoreUnexported}.fieldsOf(t)
	members = map[string]bool{}
	for _, f := range fields {
		_, options, _ := strings.Cut(f.Tag.Get("json"), ",")
		omitted := slices.ContainsFunc(strings.Split(options, ","), func(o string) bool { return o == "omitempty" || o == "omitzero" })
		members[f.name] = !omitted
	}
	return members, false
}

// ownJSON reports whether values of a type make or read their JSON themselves.
func ownJSON(t reflect.Type) bool {
	p := reflect.PointerTo(t)
	return marshals(t, true) || p.Implements(reflect.TypeFor[json.Unmarshaler]()) || p.Implements(reflect.TypeFor[jsonv2.UnmarshalerFrom]()) ||
		p.Implements(reflect.TypeFor[encoding.TextUnmarshaler]())
}

// hasName reports whether the tag of a field says its name.
func hasName(f reflect.StructField) bool {
	name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
	return name != ""
}

// checkPromoted refuses a struct whose JSON is that of an embedded field alone, because that has the method that makes it.
func checkPromoted(t reflect.Type) error {
	if t.Kind() != reflect.Struct || !isPromoted(t) {
		return nil
	}
	var embedded, lost []string
	for i := range t.NumField() {
		switch f := t.Field(i); {
		case f.Anonymous && marshals(f.Type, true):
			embedded = append(embedded, f.Type.String())
		case f.Type.Size() > 0 && f.Name != "_" && f.Tag.Get("json") != "-":
			lost = append(lost, f.Name)
		}
	}
	if len(embedded) == 0 || len(lost) == 0 {
		return nil
	}
	return fmt.Errorf("field %s of %v gets lost, because the embedded %s makes the JSON of the whole: name that field, "+
		"or give the type a MarshalJSON of its own", lost[0], t, embedded[0])
}

// isPromoted reports whether the method that makes the JSON of a type is that of an embedded field: the compiler has made
// it then, and no file has it.
func isPromoted(t reflect.Type) bool {
	for _, name := range []string{"MarshalJSONTo", "MarshalJSON", "MarshalText"} { // in the order in which they count
		m, ok := t.MethodByName(name)
		if !ok {
			m, ok = reflect.PointerTo(t).MethodByName(name)
		}
		if ok {
			file, _ := runtime.FuncForPC(m.Func.Pointer()).FileLine(m.Func.Pointer())
			return file == "<autogenerated>"
		}
	}
	return false
}

var marshalers = []reflect.Type{reflect.TypeFor[json.Marshaler](), reflect.TypeFor[jsonv2.MarshalerTo](), reflect.TypeFor[encoding.TextMarshaler]()}

// marshals reports whether values of a type make their JSON themselves.
func marshals(t reflect.Type, hasAddress bool) bool {
	for _, m := range marshalers {
		if t.Implements(m) || hasAddress && t.Kind() != reflect.Interface && reflect.PointerTo(t).Implements(m) {
			return true
		}
	}
	return false
}
