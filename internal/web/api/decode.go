package api

import (
	"errors"
	"fmt"

	jsonv2 "github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// decode reads the JSON of a request, in which unknown members are refused. The error says what is wrong where, in the
// words of JSON.
func decode(text []byte, into any) error {
	err := jsonv2.Unmarshal(text, into, jsonv2.RejectUnknownMembers(true))
	wrong, ok := errors.AsType[*jsonv2.SemanticError](err)
	if !ok {
		return err
	}
	where := string(wrong.JSONPointer)
	switch {
	case errors.Is(wrong.Err, jsonv2.ErrUnknownName):
		return fmt.Errorf("unknown member %s", where)
	case wrong.Err != nil:
		return fmt.Errorf("%s: %w", where, wrong.Err)
	case where == "":
		return fmt.Errorf("it cannot be %s", kindNames[wrong.JSONKind])
	}
	return fmt.Errorf("%s cannot be %s", where, kindNames[wrong.JSONKind])
}

// kindNames are the kinds of JSON values as people name them.
var kindNames = map[jsontext.Kind]string{
	jsontext.KindNull: "null", jsontext.KindFalse: "true or false", jsontext.KindTrue: "true or false", jsontext.KindString: "a text",
	jsontext.KindNumber: "a number", jsontext.KindBeginObject: "an object", jsontext.KindBeginArray: "an array",
}
