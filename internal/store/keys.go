package store

import (
	"strings"

	"github.com/refq/refq/refcache"
)

// Every key of a queue carries its name as hash tag: in a Cluster the queue lives in one slot, and one script may
// touch all of it. asynq tags its keys alike.

// queuesKey is the one key outside: the set of all queues.
const queuesKey = "refq:queues"

func prefix(queue string) string        { return "refq:{" + queue + "}:" }
func recordKey(ref refcache.Ref) string { return prefix(ref.Queue()) + "t:" + ref.Hash() }

// statusKey is the sorted set of the tasks in a status. There is none for processing, as the claims say what runs, and none
// for complete, as the scripts keep a list of the completions: "<completed_at><hash>", the last one first.
func statusKey(queue string, status refcache.Status) string { return prefix(queue) + string(status) }

func workersKey(queue string) string        { return prefix(queue) + "workers" }
func claimsKey(queue, worker string) string { return prefix(queue) + "claims:" + worker }

// NobodysKey is never there. It keeps a queue's scripts from running while its slot moves.
func NobodysKey(queue string) string { return prefix(queue) + "-" }

// IdleKey is the set of a queue's workers that wait to be woken.
func IdleKey(queue string) string { return prefix(queue) + "idle" }

// Channels carry their queue's tag, as its keys do: a sharded message can be sent only where the sender's keys live.

// WakeChannel is where a worker learns what a queue has for it.
func WakeChannel(queue, worker string) string { return prefix(queue) + "wake:" + worker }

// CancelChannel is where a worker hears the tokens of its attempts that were cancelled.
func CancelChannel(queue, worker string) string { return prefix(queue) + "cancel:" + worker }

// InboxChannel is where a producer hears of the ends of the tasks of a queue that it waits for.
func InboxChannel(queue, producer string) string { return prefix(queue) + "in:" + producer }

// Inbox is a producer among the waiters of a task.
func Inbox(producer string) string { return "refq:inbox:" + producer }

// QueueOfChannel is the queue whose tag a channel carries.
func QueueOfChannel(channel string) string {
	_, tagged, _ := strings.Cut(channel, "{")
	queue, _, _ := strings.Cut(tagged, "}")
	return queue
}

// DropsChannel is where those who keep results of a queue in memory hear which are no longer the answer: their hashes.
func DropsChannel(queue string) string { return prefix(queue) + "dropped" }

// Dropped is the task that a message on a [DropsChannel] is about.
func Dropped(channel, message string) refcache.Ref {
	return refOf(QueueOfChannel(channel), message)
}

func refOf(queue, hash string) refcache.Ref { return refcache.Ref(queue + ":" + hash) }
