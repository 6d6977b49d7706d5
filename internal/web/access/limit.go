package access

import (
	"context"
	"net/http"
	"time"
)

// Limit is next for requests whose bodies have so many bytes at most, and whose contexts end after so long. A longer body
// is an *http.MaxBytesError to who reads it.
func Limit(next http.Handler, body int64, d time.Duration) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		ctx, cancel := context.WithTimeout(r.Context(), d)
		defer cancel()
		r = r.WithContext(ctx)
		r.Body = http.MaxBytesReader(w, r.Body, body)
		next.ServeHTTP(w, r)
	})
}
