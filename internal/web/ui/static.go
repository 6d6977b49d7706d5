package ui

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"time"
)

//go:embed static
var staticFiles embed.FS

// asset is a file that pages load.
type asset struct {
	content []byte
	hash    string
}

var assets = readAssets()

func readAssets() map[string]asset {
	files, err := fs.Glob(staticFiles, "static/*")
	if err != nil {
		panic(err) // the pattern is malformed
	}
	all := map[string]asset{}
	for _, file := range files {
		content, err := staticFiles.ReadFile(file)
		if err != nil {
			panic(err) // it is embedded
		}
		sum := sha256.Sum256(content)
		all[path.Base(file)] = asset{content, hex.EncodeToString(sum[:8])}
	}
	return all
}

// staticPath is where a file of static/ is served. It changes with the content, so that browsers may keep it for good.
func staticPath(name string) string { return "/static/" + name + "?v=" + assets[name].hash }

func serveStatic(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("file")
	file, ok := assets[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Etag", `"`+file.hash+`"`)
	w.Header().Set("Cache-Control", "no-cache")
	if r.URL.Query().Get("v") == file.hash {
		w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	}
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(file.content))
}
