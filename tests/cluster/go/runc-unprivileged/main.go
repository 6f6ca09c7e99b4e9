// Command runc-unprivileged stands in front of runc on machines that withhold CAP_SYS_RESOURCE, as some virtual
// machines and sandboxes do. A privileged container asks for every capability, and runc fails on the one that the
// machine cannot give; raised limits and negative out-of-memory scores need it too. This program takes just those out
// of the container's description, then becomes runc.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

const withheld = "CAP_SYS_RESOURCE"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "runc-unprivileged:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if bundle := option(args, "--bundle", "-b"); bundle != "" && (slices.Contains(args, "create") || slices.Contains(args, "run")) {
		if err := rewrite(filepath.Join(bundle, "config.json"), "process"); err != nil {
			return err
		}
	}
	if process := option(args, "--process", "-p"); process != "" && slices.Contains(args, "exec") {
		if err := rewrite(process, ""); err != nil {
			return err
		}
	}
	runc, err := exec.LookPath("runc")
	if err != nil {
		return err
	}
	return syscall.Exec(runc, append([]string{"runc"}, args...), os.Environ())
}

// option returns the value of the first of names that is among args, as "--name value" or "--name=value".
func option(args []string, names ...string) string {
	for i, arg := range args {
		for _, name := range names {
			if arg == name && i+1 < len(args) {
				return args[i+1]
			}
			if value, found := strings.CutPrefix(arg, name+"="); found {
				return value
			}
		}
	}
	return ""
}

// rewrite restricts the process that the JSON file describes: its member key, or the whole file when key is empty.
// Numbers are kept as they are written, because limits exceed what a float can hold.
func rewrite(path, key string) error {
	file, err := os.Open(path)
	if err != nil {
		return err
	}
	defer file.Close()
	decoder := json.NewDecoder(file)
	decoder.UseNumber()
	var document map[string]any
	if err := decoder.Decode(&document); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	process := document
	if key != "" {
		process, _ = document[key].(map[string]any)
	}
	restrict(process)
	text, err := json.Marshal(document)
	if err != nil {
		return err
	}
	return os.WriteFile(path, text, 0o600)
}

func restrict(process map[string]any) {
	if sets, ok := process["capabilities"].(map[string]any); ok {
		for name, set := range sets {
			if list, ok := set.([]any); ok {
				sets[name] = slices.DeleteFunc(list, func(c any) bool { return c == withheld })
			}
		}
	}
	if score, ok := process["oomScoreAdj"].(json.Number); ok && strings.HasPrefix(score.String(), "-") {
		delete(process, "oomScoreAdj")
	}
	delete(process, "rlimits")
}
