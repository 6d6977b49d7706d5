package browser

import (
	"testing"

	"github.com/stretchr/testify/require"
)

func TestManyFailedCallsAreRetriedAtOnce(t *testing.T) {
	var refs []string
	for _, name := range []string{"bulk 1", "bulk 2", "bulk 3"} {
		refs = append(refs, program.call(t, "broken", name, "60s"))
	}
	b := open(t)
	b.visit("/calls?status=failed&func=broken&error=bulk")
	b.shoot("calls failed")
	for _, ref := range refs {
		require.True(t, must[bool](b, `!!document.querySelector("a[href='/calls/`+ref+`']")`))
	}
	b.click("Retry these…")
	b.sees("Retry 3 failed calls")
	b.shoot("calls retry")
	for _, name := range []string{"bulk 1", "bulk 2", "bulk 3"} {
		program.let(t, name+".ok")
	}
	require.Equal(t, "failed", program.status(t, refs[0]), "nothing is done before it is confirmed")
	b.click("Retry 3 calls with a fresh budget")
	b.sees("Retried 3 calls")
	for _, ref := range refs {
		program.until(t, ref, "complete")
	}
}

func TestAFilterIsInTheAddress(t *testing.T) {
	program.call(t, "broken", "needle", "60s")
	b := open(t)
	b.visit("/calls?status=failed")
	b.until(`document.querySelector("#error")`)
	b.do(setValue("#error", "of needle is"))
	b.click("Show")
	b.until(`new URLSearchParams(location.search).get("error") == "of needle is"`)
	b.until(`document.querySelectorAll("main tbody tr").length == 1`)
	b.sees("service of needle is down")
}
