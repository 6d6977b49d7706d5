package queue

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// coming is a doorbell that is inbound with a slot and a claimed attempt, and how often that was handed back.
func coming(ref string, slots Slots, handedBack *int) *arrival {
	return &arrival{ref: ref, slot: slots.acquire(nil), claimed: &Claimed{HandBack: func(string) { *handedBack++ }}}
}

func TestAnArrivalLeavesTheTableOnce(t *testing.T) {
	for what, leave := range map[string]func(*inbound){
		"by its timer": func(*inbound) { time.Sleep(maxInbound) },
		"at the end":   func(in *inbound) { in.close() },
		"to its handler": func(in *inbound) {
			a := in.pop("media:1")
			a.slot.Release()
			a.claimed.HandBack("the worker stops")
		},
	} {
		t.Run(what, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				in, slots, handedBack := newInbound(), NewSlots(1), 0
				in.add(coming("media:1", slots, &handedBack))
				leave(in)
				synctest.Wait()
				require.Equal(t, 1, handedBack)
				require.Empty(t, slots)
				require.Nil(t, in.pop("media:1"))
				time.Sleep(time.Minute)
				in.close()
				synctest.Wait()
				require.Equal(t, 1, handedBack)
				require.Empty(t, in.entries)
			})
		})
	}
}

func TestArrivalsOfOneCallLeaveInTheirOrder(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, slots, handedBack := newInbound(), NewSlots(3), 0
		first, second, foreign := coming("media:1", slots, &handedBack), coming("media:1", slots, &handedBack), &arrival{slot: slots.acquire(nil)}
		for _, a := range []*arrival{foreign, first, second} {
			in.add(a)
		}
		require.Same(t, first, in.pop("media:1"))
		require.Same(t, second, in.pop("media:1"))
		require.Same(t, foreign, in.pop("media:1"), "who names no call may take the slot of any that names none")
		require.Nil(t, in.pop("media:1"))
	})
}

func TestWhatArrivesAfterTheEndIsGivenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		in, slots, handedBack := newInbound(), NewSlots(1), 0
		in.close()
		in.add(coming("media:1", slots, &handedBack))
		synctest.Wait()
		require.Equal(t, 1, handedBack)
		require.Empty(t, slots)
	})
}

func TestASlotIsReleasedOnce(t *testing.T) {
	slots := NewSlots(2)
	one := slots.acquire(nil)
	slots.acquire(nil)
	require.False(t, slots.AreFree())
	one.Release()
	one.Release()
	require.Len(t, slots, 1)
}
