package ui

import "net/http"

// overview answers GET /.
func (u *UI) overview(w http.ResponseWriter, r *http.Request) error {
	return u.render(w, r, http.StatusOK, "overview.html", page{Title: "Overview", Live: liveQueues})
}
