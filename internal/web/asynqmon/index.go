package asynqmon

import (
	"bytes"
	"crypto/rand"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"fmt"
	"net/http"
	"regexp"
	"strings"
)

// index is the one page of asynqmon, whose scripts make all others. As it comes, it waits for a font host, which takes its
// time where there is no network, and needs a policy that lets any script run. Ours asks nobody, and runs only what stands in it.
type index struct {
	before, after string // a nonce stands between
	policy        string // for fmt.Sprintf with the nonce
}

var (
	foreignLink  = regexp.MustCompile(`<link [^>]*href="https?:[^>]*>`)
	manifestLink = regexp.MustCompile(`<link rel="manifest"[^>]*>`) // it would be fetched without credentials
	inlineScript = regexp.MustCompile(`(?s)<script>(.*?)</script>`)
)

// wayBack leads from a page of asynqmon to ours.
//
//go:embed wayback.html
var wayBack string

// newIndex makes the page out of the one that asynqmon serves.
func newIndex(asynqmon http.Handler) *index {
	r, err := http.NewRequest(http.MethodGet, Base+"/", nil)
	if err != nil {
		panic(err) // a fixed URL
	}
	var page recorder
	asynqmon.ServeHTTP(&page, r)
	html := manifestLink.ReplaceAllString(foreignLink.ReplaceAllString(page.String(), ""), "")
	html = strings.Replace(html, "</body>", strings.TrimSpace(wayBack)+"</body>", 1)
	i := &index{policy: "default-src 'none'; script-src 'self'"}
	for _, script := range inlineScript.FindAllStringSubmatch(html, -1) {
		sum := sha256.Sum256([]byte(script[1]))
		i.policy += " 'sha256-" + base64.StdEncoding.EncodeToString(sum[:]) + "'"
	}
	// Its styles are made by its scripts, which look for the nonce.
	i.policy += "; style-src 'nonce-%s'; img-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
	before, after, _ := strings.Cut(html, "</head>")
	i.before, i.after = before+`<meta property="csp-nonce" content="`, `"/></head>`+after
	return i
}

// ServeHTTP answers with the page.
func (i *index) ServeHTTP(w http.ResponseWriter, _ *http.Request) {
	nonce := rand.Text()
	w.Header().Set("Content-Security-Policy", fmt.Sprintf(i.policy, nonce))
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write([]byte(i.before + nonce + i.after)) // who is not there to read it cannot be told
}

// recorder keeps an answer.
type recorder struct {
	bytes.Buffer
	header http.Header
}

func (r *recorder) WriteHeader(int) {}
func (r *recorder) Header() http.Header {
	if r.header == nil {
		r.header = http.Header{}
	}
	return r.header
}
