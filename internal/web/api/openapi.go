package api

import (
	_ "embed"
	"net/http"
)

//go:embed openapi.json
var document []byte

// openAPI answers GET /openapi.json.
func (a *API) openAPI(w http.ResponseWriter, r *http.Request) error {
	if _, err := query(r); err != nil {
		return err
	}
	write(w, http.StatusOK, "application/json", document)
	return nil
}
