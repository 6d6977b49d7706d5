package script

import (
	"runtime"
	"sync"
	"weak"
)

// Beside keeps a value for each of some objects, for as long as the object lives: clients are made by others, and have no room for
// what is ours. A value must not refer to its object. The zero Beside is empty. It is safe for concurrent use.
type Beside[O, V any] struct{ values sync.Map } // weak.Pointer[O] → V

// Of returns the value of an object. If there is none, it is value, and isNew is true.
func (b *Beside[O, V]) Of(object *O, value V) (kept V, isNew bool) {
	key := weak.Make(object)
	found, known := b.values.LoadOrStore(key, value)
	if !known {
		runtime.AddCleanup(object, func(key weak.Pointer[O]) { b.values.Delete(key) }, key)
	}
	return found.(V), !known
}

// Find returns the value of an object, the zero value if there is none.
func (b *Beside[O, V]) Find(object *O) (kept V) {
	if found, known := b.values.Load(weak.Make(object)); known {
		kept = found.(V)
	}
	return kept
}
