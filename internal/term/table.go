package term

import (
	"strings"

	"github.com/mattn/go-runewidth"
)

// Table is text in aligned columns. The zero value is an empty table.
type Table struct {
	rows    [][]string
	colours [][]string // of the cells, which hold none themselves
}

// Add appends a row. Its cells get the colours that stand at their index; "" or none: no colour. All rows have as many
// cells as the first.
func (t *Table) Add(colours []string, cells ...string) {
	t.rows = append(t.rows, cells)
	t.colours = append(t.colours, colours)
}

// Header appends a row in a faint colour.
func (t *Table) Header(cells ...string) {
	var colours []string
	for range cells {
		colours = append(colours, Faint)
	}
	t.Add(colours, cells...)
}

// DropFirst removes the first column from the cells of all rows; colours stay.
func (t *Table) DropFirst() {
	for i := range t.rows {
		t.rows[i] = t.rows[i][1:]
	}
}

// AlignRight lets the cells of each column, from one column on, end below each other.
func (t *Table) AlignRight(from int) {
	for column := from; column < len(t.rows[0]); column++ {
		width := 0
		for _, row := range t.rows {
			width = max(width, runewidth.StringWidth(row[column]))
		}
		for _, row := range t.rows {
			row[column] = strings.Repeat(" ", width-runewidth.StringWidth(row[column])) + row[column]
		}
	}
}

// AddTo appends the table to a page. On a terminal the last column is cut where the line ends.
func (t *Table) AddTo(p *Page) {
	widths := make([]int, len(t.rows[0]))
	for _, row := range t.rows {
		for i, cell := range row {
			widths[i] = max(widths[i], runewidth.StringWidth(cell))
		}
	}
	for r, row := range t.rows {
		var line strings.Builder
		room := p.Screen.Width()
		for i, cell := range row {
			if i == len(row)-1 {
				line.WriteString(p.Paint(t.colour(r, i), t.last(cell, room)))
				break
			}
			line.WriteString(p.Paint(t.colour(r, i), cell))
			line.WriteString(strings.Repeat(" ", widths[i]-runewidth.StringWidth(cell)+2))
			room -= widths[i] + 2
		}
		p.Line("%s", strings.TrimRight(line.String(), " "))
	}
}

// last is the cell of the last column, cut if there is at least some room for it.
func (t *Table) last(cell string, room int) string {
	const least = 10
	if room < least {
		return cell
	}
	return Cut(cell, room)
}

func (t *Table) colour(row, column int) string {
	if column < len(t.colours[row]) {
		return t.colours[row][column]
	}
	return ""
}
