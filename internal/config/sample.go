package config

import (
	"embed"
	"io/fs"
)

//go:embed sample
var sample embed.FS

// Sample returns the files that refq init writes: a commented config.yaml and the command of the function wordcount,
// which it declares. os.CopyFS writes them without overwriting anything.
func Sample() fs.FS {
	files, err := fs.Sub(sample, "sample")
	if err != nil {
		panic(err) // the name above is no path
	}
	return files
}
