package access

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/refq/refq/monitor"
	"github.com/refq/refq/refcache"
)

// SetGate gives a gate limits for a time, or until it is reset if that is 0. Its errors are those of [admin.Admin.SetGate].
func (a Actions) SetGate(ctx context.Context, queue, gate string, set monitor.GateSetting, lasts time.Duration) error {
	change := Change{What: "set_gate", Scope: gateText(queue, gate), To: settingText(set, lasts)}
	change.Err = a.admin(ctx).SetGate(ctx, queue, gate, set, lasts)
	Audit(ctx, a.log, change)
	return change.Err
}

// ResetGate has a gate go by what its workers declare. Its errors are those of [admin.Admin.ResetGate].
func (a Actions) ResetGate(ctx context.Context, queue, gate string) error {
	change := Change{What: "reset_gate", Scope: gateText(queue, gate)}
	change.Err = a.admin(ctx).ResetGate(ctx, queue, gate)
	Audit(ctx, a.log, change)
	return change.Err
}

func gateText(queue, gate string) string { return "gate " + gate + " of queue " + queue }

// settingText is a setting for the log, such as "each 10, rate 50/s, for 1h0m0s".
func settingText(set monitor.GateSetting, lasts time.Duration) string {
	var words []string
	whole := func(name string, n *int) {
		switch {
		case n == nil:
		case *n == refcache.Slots && name == "all":
			words = append(words, "all slots")
		default:
			words = append(words, name+" "+strconv.Itoa(*n))
		}
	}
	whole("each", set.Each)
	whole("all", set.All)
	if set.Rate != nil {
		words = append(words, "rate "+set.Rate.String())
		if set.Rate.Burst != 0 {
			words = append(words, fmt.Sprint("burst ", set.Rate.Burst))
		}
	}
	whole("most_waiting", set.MostWaiting)
	if lasts != 0 {
		words = append(words, fmt.Sprint("for ", lasts))
	}
	return strings.Join(words, ", ")
}
