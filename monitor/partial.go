package monitor

import "strings"

// Missing is a node of Redis that did not answer when several were asked.
type Missing struct {
	Node   string   // host:port; empty if that is not known
	Queues []string // that nothing is told of, by name; none: Err says what else is missing
	Err    error    // why
}

// String is a sentence without its end, such as "node 10.0.0.3:6379 does not answer: queues q1, q5 are missing".
func (m Missing) String() string {
	text := "node " + m.Node
	if m.Node == "" {
		text = "a node"
	}
	text += " does not answer: "
	switch len(m.Queues) {
	case 0:
		return text + m.Err.Error()
	case 1:
		return text + "queue " + m.Queues[0] + " is missing"
	}
	return text + "queues " + strings.Join(m.Queues, ", ") + " are missing"
}

// PartialError tells what is missing in an answer that is good for all else: it comes with the answer. Missing is by node, and
// never empty. It wraps the errors in it.
type PartialError struct{ Missing []Missing }

func (e *PartialError) Error() string {
	texts := make([]string, len(e.Missing))
	for i, m := range e.Missing {
		texts[i] = m.String()
	}
	return strings.Join(texts, "; ")
}

// Unwrap returns the errors of all nodes.
func (e *PartialError) Unwrap() []error {
	errs := make([]error, len(e.Missing))
	for i, m := range e.Missing {
		errs[i] = m.Err
	}
	return errs
}
