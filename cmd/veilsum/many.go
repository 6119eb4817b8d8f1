package main

import "fmt"

// many is a number of things, in words that fit the number.
func many[N ~int | ~int64 | ~uint32](n N, thing string) string {
	if n == 1 {
		return "1 " + thing
	}
	return fmt.Sprintf("%d %ss", n, thing)
}
