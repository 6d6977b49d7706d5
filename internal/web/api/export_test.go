package api

import "iter"

// Structs are the schemas that are structs of this package.
var Structs = map[string]any{"Call": callRequest{}, "PauseRequest": pauseRequest{}, "Resumed": resumed{}, "Options": callOptions{}, "Page": page{}, "BatchAnswer": batchAnswer{},
	"Gates": gateList{}, "GatePage": gatePage{}, "GateSetting": gateSetting{}}

// Patterns are the routes, below Base.
func Patterns() (all []string) {
	for _, r := range routes {
		all = append(all, r.pattern)
	}
	return all
}

// ProblemNames are the types of problems by the errors of refcache.
func ProblemNames() iter.Seq2[error, string] {
	return func(yield func(error, string) bool) {
		for _, k := range kinds {
			if !yield(k.err, k.name) {
				return
			}
		}
	}
}
