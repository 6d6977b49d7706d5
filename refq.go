// Package refq connects programs to the Redis that holds their cached calls. Package producer makes calls, package worker
// runs them, and package refcache declares what both share.
package refq
