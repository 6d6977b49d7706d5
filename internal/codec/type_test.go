package codec_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/refq/refq/internal/codec"
)

type (
	pairAB struct{ A, B int }
	hidden struct{ a int }
	shadow struct{ A string }
	twiceA struct{ A int }
	twiceB struct{ A int }
	tagged struct {
		X int `json:"A"`
	}
	list struct {
		Value int
		Next  *list
	}
	own     struct{ A int }
	ownText struct{ A int }
	ptr     struct{ a int }
)

// These embed one and have a method of their own.
type (
	ownBeside struct {
		time.Time
		X int
	}
	ownBesidePtr struct {
		own
		X int
	}
)

func (ownBeside) MarshalJSON() ([]byte, error)     { return []byte(`1`), nil }
func (*ownBesidePtr) MarshalJSON() ([]byte, error) { return []byte(`1`), nil }

func (own) MarshalJSON() ([]byte, error)     { return []byte(`1`), nil }
func (ownText) MarshalText() ([]byte, error) { return []byte(`1`), nil }
func (p *ptr) MarshalJSON() ([]byte, error)  { return fmt.Append(nil, p.a), nil }

var _, _ = hidden{}.a, ownBesidePtr{}.own // what only reflection looks at

func TestTypesThatLoseNothingPass(t *testing.T) {
	for _, v := range []any{
		0, "", []byte{}, json.RawMessage{}, map[string]any{}, [3]pairAB{}, (*pairAB)(nil), struct{}{}, time.Time{}, time.Second, list{},
		struct{ V any }{},
		struct {
			pairAB
			C int
		}{},
		struct {
			*pairAB
			A string // hides that of pairAB
		}{},
		struct {
			mu sync.Mutex
			n  atomic.Int64
			_  int
			no struct{}
			C  int
		}{},
		struct {
			a int `json:"-"`
			B int
		}{},
		struct{ O own }{}, struct{ O ownText }{}, struct{ P ptr }{}, []ptr{}, map[string]*ptr{},
		struct {
			twiceA
			tagged // its tag wins
		}{},
		struct{ own }{}, struct{ time.Time }{}, ownBeside{}, ownBesidePtr{},
		struct {
			F func() `json:"-"`
			B int
		}{},
	} {
		require.NoError(t, codec.CheckType(reflect.TypeOf(v), false), "%T", v)
	}
	require.NoError(t, codec.CheckType(reflect.TypeFor[any](), false))
	require.NoError(t, codec.CheckType(reflect.TypeFor[struct {
		hidden hidden
		B      int
	}](), true))
}

func TestTypesThatLoseSomethingAreRefused(t *testing.T) {
	const remedies = "export it, tag it `json:\"-\"`, or set Func.IgnoreUnexported"
	for want, v := range map[string]any{
		"field a of codec_test.hidden is not exported, so calls that differ in it alone would be one: " + remedies: hidden{},
		"field H of struct { H map[string][]codec_test.hidden }: field a of codec_test.hidden is not exported":     struct{ H map[string][]hidden }{},
		"field a of codec_test.ptr is not exported":                                                                map[string]ptr{}, // which has no address for the method
		"type chan int has no JSON":                   struct{ C chan int }{},
		"field F of struct { F func() }: type func()": struct{ F func() }{},
		"type complex128 has no JSON":                 []complex128{},
		`fields codec_test.twiceA.A and codec_test.twiceB.A of struct { codec_test.twiceA; codec_test.twiceB } are both "A" in JSON, so both are lost`: struct {
			twiceA
			twiceB
		}{},
		"no field of struct { A int \"json:\\\"-\\\"\" } becomes JSON": struct {
			A int `json:"-"`
		}{},
		"field X of struct { time.Time; X int } gets lost, because the embedded time.Time makes the JSON of the whole": struct {
			time.Time
			X int
		}{},
		"field X of struct { *codec_test.ptr; X int } gets lost": struct {
			*ptr
			X int
		}{},
		"field A of codec_test.deep: field B of struct { B struct { c int } }: field c of struct { c int } is not exported": deep{},
	} {
		require.ErrorContains(t, codec.CheckType(reflect.TypeOf(v), false), want, "%T", v)
		require.ErrorContains(t, codec.CheckType(reflect.TypeOf(v), false), want, "asked again")
	}
	require.ErrorContains(t, codec.CheckType(reflect.TypeFor[hidden](), true), "no field of codec_test.hidden becomes JSON")
}

type deep struct{ A []struct{ B struct{ c int } } }

// What this package says of the fields of a type is what encoding/json does with them.
func TestFieldsAreThoseOfTheJSON(t *testing.T) {
	for _, v := range []any{
		struct {
			*pairAB
			A string
		}{&pairAB{1, 2}, "outer"},
		struct {
			twiceA
			tagged
		}{twiceA{1}, tagged{2}},
		struct {
			pairAB
			shadow `json:"s"`
		}{pairAB{1, 2}, shadow{"x"}},
	} {
		require.NoError(t, codec.CheckType(reflect.TypeOf(v), false))
		want, err := json.Marshal(v)
		require.NoError(t, err)
		got, err := codec.Encode(v)
		require.NoError(t, err)
		require.JSONEq(t, string(want), string(got))
	}
}

func TestMethodsWithAPointerReceiverAreUsed(t *testing.T) {
	text, err := codec.Encode(&ptr{7})
	require.NoError(t, err)
	require.Equal(t, "7", string(text))
	_, err = codec.Encode(&struct{ C chan int }{})
	require.ErrorContains(t, err, "encode struct { C chan int }: ")
	text, err = codec.Encode(&json.RawMessage{'1'})
	require.NoError(t, err)
	require.Equal(t, "1", string(text))
}
