package python_test

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	_ "github.com/veilsum/veilsum/python/internal/calls" // what the wheel is built from
)

// TestWheel builds the wheel, installs it into an empty environment, and runs the tests in python/tests against what was
// installed; those that want numpy and pyarrow run with VEILSUM_PYTHON. Nothing here may ask the network.
func TestWheel(t *testing.T) {
	if testing.Short() {
		t.Skip("compiles the library")
	}
	python := pythonOrSkip(t)
	readSources(t)
	scratch := t.TempDir()
	venv := filepath.Join(scratch, "venv")
	run(t, nil, python, "-m", "venv", venv)
	inside := filepath.Join(venv, "bin", "python")
	wheel := buildWheel(t, inside, filepath.Join(scratch, "dist"))
	if info, err := os.Stat(wheel); err != nil || info.Size() > 8<<20 {
		t.Errorf("the wheel has %d bytes; README.md says some 6 MB", info.Size())
	}
	run(t, nil, inside, "-m", "pip", "install", "--quiet", "--no-index", wheel)
	program := filepath.Join(scratch, "veilsum")
	run(t, nil, "go", "build", "-o", program, "../cmd/veilsum")
	run(t, []string{"VEILSUM_PROGRAM=" + program}, inside, "-m", "unittest", "discover", "-s", "tests")

	t.Run("arrow", func(t *testing.T) {
		reader := os.Getenv("VEILSUM_PYTHON")
		if reader == "" {
			t.Skip("VEILSUM_PYTHON is not set: .ci/run installs a Python with numpy and pyarrow")
		}
		target := filepath.Join(scratch, "target")
		run(t, nil, reader, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", target, wheel)
		run(t, []string{"PYTHONPATH=" + target}, reader, "-m", "unittest", "discover", "-s", "tests", "-p", "test_arrow.py")
	})
}

// TestFrameworks runs the adapters in Flower and NVIDIA FLARE themselves, with ten clients of which two are lost in every
// round, and compares costs with those of the frameworks' own secure aggregation.
func TestFrameworks(t *testing.T) {
	python := os.Getenv("VEILSUM_FRAMEWORKS")
	if os.Getenv("VEILSUM_SLOW") == "" || python == "" {
		t.Skip("slow: set VEILSUM_SLOW=1, and VEILSUM_FRAMEWORKS to a Python with .ci/frameworks/requirements.txt, as .ci/run slow does")
	}
	readSources(t)
	scratch := t.TempDir()
	wheel := buildWheel(t, python, filepath.Join(scratch, "dist"))
	target := filepath.Join(scratch, "target")
	run(t, nil, python, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", target, wheel)
	env := []string{
		"PYTHONPATH=" + target + string(os.PathListSeparator) + examples(t),
		"FLWR_TELEMETRY_ENABLED=0", "RAY_USAGE_STATS_ENABLED=0", "FLWR_HOME=" + filepath.Join(scratch, "flwr"),
	}
	for _, script := range [][]string{{"tests/slow_flower.py"}, {"tests/slow_nvflare.py"}, {"bench/peers.py", "--check", "--repeat", "7"}} {
		t.Run(filepath.Base(script[0]), func(t *testing.T) {
			t.Log(run(t, env, python, script...))
		})
	}
}

func examples(t *testing.T) string {
	t.Helper()
	dir, err := filepath.Abs("examples")
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// buildWheel builds the wheel into dist, and returns its name.
func buildWheel(t *testing.T, python, dist string) string {
	t.Helper()
	run(t, nil, python, "-m", "pip", "wheel", "--quiet", "--no-index", "--no-deps", "--wheel-dir", dist, ".")
	wheels, err := filepath.Glob(filepath.Join(dist, "veilsum-*.whl"))
	if err != nil || len(wheels) != 1 {
		t.Fatal(wheels, err)
	}
	return wheels[0]
}

// TestTypes checks the types of package and backend with mypy.
func TestTypes(t *testing.T) {
	if testing.Short() {
		t.Skip("reads the types of the standard library")
	}
	python := os.Getenv("VEILSUM_PYTHON")
	if python == "" {
		t.Skip("VEILSUM_PYTHON is not set: .ci/run installs a Python with mypy")
	}
	if exec.Command(python, "-c", "import mypy").Run() != nil {
		t.Skip(python + " has no mypy: .ci/run installs it")
	}
	readSources(t)
	run(t, nil, python, "-m", "mypy", "--cache-dir", t.TempDir(), "--config-file", "pyproject.toml")
}

// readSources lets the cache of go test see what the child processes read.
func readSources(t *testing.T) {
	t.Helper()
	if _, err := os.ReadFile("../docs/LIBRARY.md"); err != nil { // tests/test_library.py runs its example
		t.Fatal(err)
	}
	err := filepath.WalkDir(".", func(name string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			_, err = os.ReadFile(name)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// pythonOrSkip returns a Python that can build the wheel.
func pythonOrSkip(t *testing.T) string {
	t.Helper()
	if out, err := exec.Command("go", "env", "CGO_ENABLED").Output(); err != nil || string(out) != "1\n" {
		t.Skip("cgo is off: no C compiler")
	}
	python := os.Getenv("VEILSUM_PYTHON")
	if python == "" {
		python = "python3"
	}
	if exec.Command(python, "-c", "import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))").Run() != nil {
		t.Skip("no Python 3.11 or later with venv")
	}
	return python
}

// run returns what the program wrote.
func run(t *testing.T, env []string, name string, args ...string) string {
	t.Helper()
	c := exec.Command(name, args...)
	c.Env = append(os.Environ(), env...)
	c.Env = append(c.Env, "PIP_DISABLE_PIP_VERSION_CHECK=1", "PIP_NO_INPUT=1", "PYTHONDONTWRITEBYTECODE=1", "PYTHONNOUSERSITE=1")
	out, err := c.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %v: %v\n%s", name, args, err, out)
	}
	return string(out)
}
