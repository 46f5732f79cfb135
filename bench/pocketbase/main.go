// Command pocketbase is the PocketBase server as it comes, built from its public Go module.
package main

import (
	"os"

	"github.com/pocketbase/pocketbase"
)

func main() {
	if pocketbase.New().Start() != nil {
		os.Exit(1)
	}
}
