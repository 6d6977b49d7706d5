// Package monitor holds what operators read of refq: facts about Redis, queues and workers with a judgement of each
// ([Health], [Finding]), and what was counted ([Stats], [Counts], [Histogram]). It reads no Redis: package admin finds
// the facts out.
package monitor
