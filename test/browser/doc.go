// Package browser looks at refq's pages with a real browser: make browser. It is a module of its own, so that who uses
// refq inherits no browser.
package browser
