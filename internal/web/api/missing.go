package api

import (
	"errors"

	"github.com/refq/refq/monitor"
)

// missing is what an answer lacks because nodes of Redis do not answer. Where nothing is missing there is no such member.
type missing []missingNode

type missingNode struct {
	Node   string   `json:"node"`
	Queues []string `json:"queues"` // empty: error says what is missing
	Error  string   `json:"error"`
}

// missing takes from an error what is missing in an answer that is good for all else. What is left is why there is no answer.
func (a *API) missing(err error) (missing, error) {
	partial, ok := errors.AsType[*monitor.PartialError](err)
	if !ok {
		return nil, err
	}
	var out missing
	for _, m := range partial.Missing {
		out = append(out, missingNode{m.Node, append([]string{}, m.Queues...), a.cfg.Redact.Text(m.Err.Error())})
	}
	return out, nil
}
