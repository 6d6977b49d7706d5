package config

// Nearest returns the known name that is a few typing mistakes away from name, the first of equally near ones; empty
// if there is none.
func Nearest(name string, known []string) string {
	nearest, least := "", min(3, (len(name)+1)/3)+1
	for _, k := range known {
		if d := distance(name, k, least); d < least {
			nearest, least = k, d
		}
	}
	return nearest
}

// distance counts the letters to insert, remove or replace to get from a to b (Levenshtein); differences of enough and
// more all count as enough.
func distance(a, b string, enough int) int {
	if max(len(a)-len(b), len(b)-len(a)) >= enough {
		return enough
	}
	row := make([]int, len(b)+1) // row[j]: from the part of a read so far to b[:j]
	for j := range row {
		row[j] = j
	}
	for i := range len(a) {
		diagonal := row[0]
		row[0] = i + 1
		for j := range len(b) {
			replaced := diagonal
			if a[i] != b[j] {
				replaced++
			}
			diagonal = row[j+1]
			row[j+1] = min(replaced, row[j]+1, diagonal+1)
		}
	}
	return min(enough, row[len(b)])
}
