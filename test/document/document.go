// Package document fills the places of documents that commands write.
package document

import (
	"fmt"
	"os"
	"strings"
)

// Fill puts a text into a file, in place of what stands there between the lines <!-- place --> and <!-- /place -->.
func Fill(file, place, text string) error {
	old, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	begin, end := fmt.Sprintf("<!-- %s -->\n", place), fmt.Sprintf("<!-- /%s -->\n", place)
	before, rest, begins := strings.Cut(string(old), begin)
	_, after, ends := strings.Cut(rest, end)
	if !begins || !ends {
		return fmt.Errorf("%s has no place for the table: %s%s", file, begin, end)
	}
	return os.WriteFile(file, []byte(before+begin+text+end+after), 0o644)
}
