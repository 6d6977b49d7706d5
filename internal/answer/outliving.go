package answer

import (
	"context"
	"time"
)

// Outliving returns a context that ends some time after ctx, and that cancel ends.
func Outliving(ctx context.Context, by time.Duration) (longer context.Context, cancel func()) {
	longer, end := context.WithCancel(context.WithoutCancel(ctx))
	var grace *time.Timer
	ended := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(ended)
		grace = time.AfterFunc(by, end)
	})
	return longer, func() {
		if !stop() {
			<-ended
			grace.Stop()
		}
		end()
	}
}
