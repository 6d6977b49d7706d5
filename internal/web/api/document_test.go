package api_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/web/api"
	"github.com/refq/refq/refcache"
)

type object = map[string]any

// document is openapi.json, the one that the server serves (TestTheDocumentIsServed).
var document = sync.OnceValue(func() object {
	text, err := os.ReadFile("openapi.json")
	if err != nil {
		panic(err)
	}
	var doc object
	if err := json.Unmarshal(text, &doc); err != nil {
		panic(err)
	}
	return doc
})

// resolve follows a $ref.
func resolve(v any) object {
	o := v.(object)
	ref, ok := o["$ref"].(string)
	if !ok {
		return o
	}
	at := any(document())
	for _, name := range strings.Split(strings.TrimPrefix(ref, "#/"), "/") {
		at = at.(object)[name]
	}
	if at == nil {
		panic("the document has no " + ref)
	}
	return resolve(at)
}

func schema(name string) object { return resolve(object{"$ref": "#/components/schemas/" + name}) }

// operation finds what the document says of a request: nil if nothing.
func operation(method, path string) object {
	path, _, _ = strings.Cut(path, "?")
	parts := strings.Split(path, "/")
	if len(parts) > 2 && parts[1] == "calls" {
		parts[2] = "{ref}"
	}
	if len(parts) == 4 && parts[1] == "gates" {
		parts[2], parts[3] = "{queue}", "{gate}"
	}
	item, _ := document()["paths"].(object)[strings.Join(parts, "/")].(object)
	op, _ := item[strings.ToLower(method)].(object)
	return op
}

// seen are the status codes that tests met, by operation.
var seen sync.Map

// documentedAnswers are the operations of the document with each of their status codes.
func documentedAnswers() (all []string) {
	for _, item := range document()["paths"].(object) {
		for method, op := range item.(object) {
			if method == "parameters" {
				continue
			}
			for code := range op.(object)["responses"].(object) {
				all = append(all, op.(object)["operationId"].(string)+" "+code)
			}
		}
	}
	slices.Sort(all)
	return all
}

// checkDocumented makes sure that the document tells of an answer: its status, type, headers and fields.
func checkDocumented(t *testing.T, method, path string, a answer) {
	t.Helper()
	op := operation(method, path)
	if op == nil {
		require.Contains(t, []int{http.StatusNotFound, http.StatusMethodNotAllowed, http.StatusUnauthorized, http.StatusForbidden}, a.code, "%s %s is not in the document", method, path)
		return
	}
	documented, ok := op["responses"].(object)[fmt.Sprint(a.code)]
	require.True(t, ok, "%s %s answered %d, which is not in the document: %s", method, path, a.code, a.body)
	response := resolve(documented)
	seen.Store(op["operationId"].(string)+" "+fmt.Sprint(a.code), true)
	headers, _ := response["headers"].(object)
	for name := range headers {
		require.NotEmpty(t, a.header.Get(name), "%s %s: %d without %s", method, path, a.code, name)
	}
	content, _ := response["content"].(object)
	if content == nil {
		require.Empty(t, a.body)
		return
	}
	kind := a.header.Get("Content-Type")
	media, ok := content[kind].(object)
	require.True(t, ok, "%s %s: %d as %s", method, path, a.code, kind)
	switch kind {
	case "application/x-ndjson":
		for line := range strings.Lines(a.body) {
			checkJSON(t, media["schema"], line)
		}
	case "application/json", "application/problem+json":
		checkJSON(t, media["schema"], a.body)
	}
}

func checkJSON(t *testing.T, schema any, text string) {
	t.Helper()
	var value any
	dec := json.NewDecoder(strings.NewReader(text))
	dec.UseNumber()
	require.NoError(t, dec.Decode(&value), text)
	require.NoError(t, conform(schema, value, "$"), text)
}

// conform tells how a value is not what a schema says, of what our schemas say.
func conform(schema, value any, at string) error {
	s := resolve(schema)
	for keyword := range s {
		if !slices.Contains([]string{"type", "description", "properties", "required", "additionalProperties", "items", "enum", "oneOf",
			"format", "minimum", "maximum", "pattern", "default"}, keyword) {
			return fmt.Errorf("%s: this test knows no %s", at, keyword)
		}
	}
	if all, ok := s["oneOf"].([]any); ok {
		var errs []error
		for _, one := range all {
			if err := conform(one, value, at); err != nil {
				errs = append(errs, err)
			}
		}
		if len(errs) != len(all)-1 {
			return fmt.Errorf("%s is %d of %d: %v", at, len(all)-len(errs), len(all), errs)
		}
		return nil
	}
	kinds := kindsOf(s)
	if kinds == nil {
		return nil // anything goes
	}
	if !slices.ContainsFunc(kinds, func(kind string) bool { return isKind(value, kind) }) {
		return fmt.Errorf("%s is %v, not %v", at, value, kinds)
	}
	if enum, ok := s["enum"].([]any); ok && !slices.Contains(enum, value) {
		return fmt.Errorf("%s is %v, none of %v", at, value, enum)
	}
	switch v := value.(type) {
	case string:
		if _, err := time.Parse("2006-01-02T15:04:05.000Z", v); s["format"] == "date-time" && err != nil {
			return fmt.Errorf("%s: %w", at, err)
		}
	case []any:
		for i, item := range v {
			if err := conform(s["items"], item, fmt.Sprint(at, "/", i)); err != nil {
				return err
			}
		}
	case object:
		return conformObject(s, v, at)
	}
	return nil
}

func conformObject(s, v object, at string) error {
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, ok := v[name.(string)]; !ok {
			return fmt.Errorf("%s has no %s", at, name)
		}
	}
	properties, _ := s["properties"].(object)
	for name, field := range v {
		property, ok := properties[name]
		if !ok && properties != nil { // clients may not mind, but the document must tell
			return fmt.Errorf("%s has %s, which is not in the document", at, name)
		}
		if !ok {
			continue
		}
		if err := conform(property, field, at+"/"+name); err != nil {
			return err
		}
	}
	return nil
}

func kindsOf(s object) (kinds []string) {
	switch kind := s["type"].(type) {
	case string:
		return []string{kind}
	case []any:
		for _, one := range kind {
			kinds = append(kinds, one.(string))
		}
	}
	return kinds
}

func isKind(value any, kind string) bool {
	switch v := value.(type) {
	case nil:
		return kind == "null"
	case bool:
		return kind == "boolean"
	case string:
		return kind == "string"
	case json.Number:
		return kind == "number" || kind == "integer" && !strings.ContainsAny(v.String(), ".eE")
	case []any:
		return kind == "array"
	}
	return kind == "object"
}

// properties are the names in a schema, and those that must be there.
func properties(t *testing.T, name string) (all, required []string) {
	t.Helper()
	s := schema(name)
	all = slices.Sorted(maps.Keys(s["properties"].(object)))
	must, _ := s["required"].([]any)
	for _, name := range must {
		required = append(required, name.(string))
	}
	slices.Sort(required)
	return all, required
}

// fieldsOf are the names in the JSON of a value.
func fieldsOf(t *testing.T, v any) []string {
	t.Helper()
	text, ok := v.([]byte)
	if !ok {
		var err error
		text, err = json.Marshal(v)
		require.NoError(t, err)
	}
	var fields object
	require.NoError(t, json.Unmarshal(text, &fields))
	return slices.Sorted(maps.Keys(fields))
}

func TestSchemasOfAnswersHaveTheFieldsThatGoWrites(t *testing.T) {
	t.Parallel()
	at := time.Unix(1, 0)
	res := refcache.Response[json.RawMessage]{Progress: &refcache.Progress{}}
	fields := map[refcache.Format][]string{}
	for _, format := range []refcache.Format{refcache.Minimal, refcache.Standard, refcache.Full} {
		text, err := res.JSON(format)
		require.NoError(t, err)
		fields[format] = fieldsOf(t, text)
	}
	all, required := properties(t, "Response")
	require.Equal(t, fields[refcache.Full], all)
	require.Equal(t, fields[refcache.Minimal], required)
	all, required = properties(t, "Minimal")
	require.Equal(t, fields[refcache.Minimal], all)
	require.Equal(t, all, required)
	info := refcache.TaskInfo{Progress: &refcache.Progress{}, RetryHistory: []refcache.Attempt{{Timestamp: at}}, Events: []refcache.Event{{At: at}}}
	text, err := json.Marshal(info)
	require.NoError(t, err)
	var task struct {
		Progress     json.RawMessage
		RetryHistory []json.RawMessage `json:"retry_history"`
		Events       []json.RawMessage
	}
	require.NoError(t, json.Unmarshal(text, &task))
	for name, value := range map[string][]byte{"Task": text, "Progress": task.Progress, "Attempt": task.RetryHistory[0], "Event": task.Events[0]} {
		all, required = properties(t, name)
		require.Equal(t, fieldsOf(t, value), all, name)
		require.Equal(t, all, required, name)
	}
}

func TestSchemasOfRequestsAndEnvelopesHaveTheFieldsOfTheirStructs(t *testing.T) {
	t.Parallel()
	for name, v := range api.Structs {
		var tags []string
		for _, field := range reflect.VisibleFields(reflect.TypeOf(v)) {
			tag, _, _ := strings.Cut(field.Tag.Get("json"), ",")
			tags = append(tags, tag)
		}
		slices.Sort(tags)
		all, _ := properties(t, name)
		require.Equal(t, tags, all, name)
	}
	for _, name := range []string{"Call", "Options"} {
		require.Equal(t, false, schema(name)["additionalProperties"], "others are refused")
	}
}

func TestTheDocumentHasTheRoutesOfTheHandlers(t *testing.T) {
	t.Parallel()
	var documented []string
	for path, item := range document()["paths"].(object) {
		for method := range item.(object) {
			if method != "parameters" {
				documented = append(documented, strings.ToUpper(method)+" "+path)
			}
		}
	}
	require.ElementsMatch(t, api.Patterns(), documented)
	require.Equal(t, api.Base, document()["servers"].([]any)[0].(object)["url"])
}

func TestTheDocumentNamesEveryProblemOfRefcache(t *testing.T) {
	t.Parallel()
	types := schema("Problem")["properties"].(object)["type"].(object)["enum"].([]any)
	for err, name := range api.ProblemNames() {
		require.Contains(t, types, "urn:refq:problem:"+name, err)
	}
}

func TestTheDocumentIsServed(t *testing.T) {
	inWorld(t, setup{}, func(w *world) {
		a := w.ask("GET", "/openapi.json", "")
		text, err := os.ReadFile("openapi.json")
		require.NoError(w, err)
		require.Equal(w, string(text), a.body)
		require.Equal(w, "3.1.0", a.fields(w)["openapi"])
	})
}
