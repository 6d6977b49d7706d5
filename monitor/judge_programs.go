package monitor

import (
	"fmt"
	"slices"
	"strings"
)

// programs tells of functions that living workers know and cannot run now.
func (h Health) programs() Finding {
	knows, able := 0, map[string]bool{}
	for _, w := range h.living() {
		for _, f := range w.Functions {
			if !slices.ContainsFunc(w.NotReady, func(u UnreadyFunction) bool { return u.Func == f }) {
				able[f] = true
			}
			knows++
		}
	}
	var nobody, some []string
	for _, w := range h.living() {
		for _, u := range w.NotReady {
			why, _, _ := strings.Cut(u.Why, "\n")
			text := fmt.Sprintf("%s on worker %s: %s", u.Func, w.ID, why)
			if able[u.Func] {
				some = append(some, text)
			} else {
				nobody = append(nobody, text)
			}
		}
	}
	const remedy = "mend what the function needs there; its worker tries again by itself"
	switch {
	case len(nobody) > 0:
		return LevelWrong.of(remedy, "no worker can run %s", named(nobody))
	case len(some) > 0:
		return LevelWarning.of(remedy, "a worker cannot run what others can: %s", named(some))
	case knows == 0:
		return fine("no worker tells of a function")
	}
	return fine("workers can run all functions that they know")
}
