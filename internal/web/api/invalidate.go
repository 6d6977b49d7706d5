package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/refq/refq/internal/web/access"
	"github.com/refq/refq/producer"
)

// invalidation is what a client has answer no longer, in the namespace of the server: one of the three. It is also the answer.
type invalidation struct {
	Tags           []string `json:"tags"`
	Func           *string  `json:"func"`
	WholeNamespace bool     `json:"whole_namespace"`
}

// invalidate answers POST /invalidations.
func (a *API) invalidate(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	text, err := a.body(w, r)
	if err != nil {
		return err
	}
	var i invalidation
	if err := decode(text, &i); err != nil {
		return badRequest(fmt.Errorf("the invalidation is not as it should be, {\"tags\":[…]}, {\"func\":…} or {\"whole_namespace\":true}: %w", err))
	}
	scopes, err := a.scopes(i)
	if err != nil {
		return err
	}
	err = a.producer.Invalidate(r.Context(), scopes...)
	access.Audit(r.Context(), a.log, access.Change{What: "invalidate", Scope: scopesText(scopes), Err: err})
	if err != nil {
		return err
	}
	answer, err := json.Marshal(i)
	if err != nil {
		return err
	}
	write(w, http.StatusOK, "application/json", append(answer, '\n'))
	return nil
}

// scopes are what an invalidation is about.
func (a *API) scopes(i invalidation) ([]producer.Scope, error) {
	switch {
	case len(i.Tags) > 0 && i.Func == nil && !i.WholeNamespace:
		scopes := make([]producer.Scope, len(i.Tags))
		for n, tag := range i.Tags {
			scopes[n] = producer.Tag(tag)
			if err := scopes[n].Check(); err != nil {
				return nil, badRequest(err)
			}
		}
		return scopes, nil
	case len(i.Tags) == 0 && i.Func != nil && !i.WholeNamespace:
		fn, err := a.cfg.Function(*i.Func)
		if err != nil {
			return nil, unprocessable("unknown-function", "Unknown function", err)
		}
		if err := fn.CheckTagged(); err != nil {
			return nil, unprocessable("no-tags", "The function has no tags", err)
		}
		return []producer.Scope{producer.OfFunc(*i.Func)}, nil
	case len(i.Tags) == 0 && i.Func == nil && i.WholeNamespace:
		return []producer.Scope{producer.OfNamespace()}, nil
	}
	return nil, badRequest(errors.New("an invalidation names one of tags, func and whole_namespace"))
}

func scopesText(scopes []producer.Scope) string {
	texts := make([]string, len(scopes))
	for i, s := range scopes {
		texts[i] = s.String()
	}
	return strings.Join(texts, ", ")
}
