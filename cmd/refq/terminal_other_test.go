//go:build !linux

package main

// terminal is only there on Linux; scripts ask for [linux].
func terminal() { panic("terminal: not on Linux") }
