package producer

import (
	"github.com/refq/refq/internal/store"
	"github.com/refq/refq/refcache"
)

// TurnOf is the turn that a call is submitted with.
func TurnOf[In, Out any](p *Producer, f refcache.Func[In, Out], in In) (store.Turn, error) {
	c, err := prepare(p, f, in, nil)
	return c.submission.Turn, err
}
