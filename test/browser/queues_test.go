package browser

import "testing"

func TestAsynqmonShowsTasksUnderOurPolicyWithoutNetwork(t *testing.T) {
	ref := program.call(t, "broken", "queues", "60s")
	big := program.call(t, "broken", map[string]any{"name": "queues", "n": 9007199254740993}, "60s")
	b := open(t)
	b.visit("/queues/")
	b.sees("default")
	b.until(`document.querySelector("table tbody a")?.textContent == "default"`)
	b.until(`document.querySelector("header svg")`)
	b.shoot("queues")
	b.visit("/queues/queues/default?status=archived")
	b.sees("9007199254740993")
	b.sees(ref)
	b.until(`getComputedStyle(document.querySelector("table")).display == "table" && getComputedStyle(document.body).margin == "0px"`) // its styles apply
	b.shoot("queues archived")

	b.visit("/queues/queues/default/tasks/" + big)
	b.sees("service of")
	b.sees("9007199254740993")
	b.until(`document.querySelector("#refq").onfocus(), document.querySelector("#refq").pathname == "/calls/` + big + `"`)
	for _, page := range []string{"/queues/servers", "/queues/schedulers", "/queues/redis", "/queues/settings"} {
		b.visit(page)
		b.until(`document.querySelector("main")?.innerText.length > 20`)
	}
}
