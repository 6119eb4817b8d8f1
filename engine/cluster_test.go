package engine_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// pythonEnv names the environment variable with the path of a Python that has pyspark.
const pythonEnv = "VEILSUM_SPARK"

// markEnv is in the environment of all that a cluster starts, so that nothing of it can stay unseen.
const markEnv = "VEILSUM_SPARK_TEST"

// cluster is a standalone Spark cluster on 127.0.0.1, each of its daemons a process.
type cluster struct {
	t       testing.TB
	home    string // of Spark
	dir     string
	env     []string
	url     string
	daemons []*process
	workers []*process
}

// startCluster starts a master and n workers with one core each, and ends all of it with the test.
// The workers, and so their steps, have env in their environment.
func startCluster(t testing.TB, n int, env ...string) *cluster {
	t.Helper()
	python := os.Getenv(pythonEnv)
	if python == "" {
		t.Skip("no Spark to test with: " + pythonEnv + " does not name a Python with engine/spark/requirements.txt; .ci/run slow installs one")
	}
	home, err := exec.Command(python, "-c", "import os, pyspark; print(os.path.dirname(pyspark.__file__))").Output()
	if err != nil {
		t.Fatalf("%s has no pyspark: %v", python, err)
	}
	c := &cluster{t: t, home: strings.TrimSpace(string(home)), dir: t.TempDir()}
	c.env = append(os.Environ(), "SPARK_HOME="+c.home, "SPARK_LOCAL_IP=127.0.0.1", "SPARK_DAEMON_MEMORY=256m",
		"SPARK_LOCAL_DIRS="+c.dir, "PYSPARK_PYTHON="+python, markEnv+"="+c.dir)
	c.env = append(c.env, env...)
	t.Cleanup(c.stop)
	c.url = c.daemon("master.Master").await(t, `Starting Spark master at (spark://127\.0\.0\.1:\d+)`)
	for i := range n {
		c.workers = append(c.workers, c.daemon("worker.Worker", "--cores", "1", "--memory", "600m",
			"--work-dir", filepath.Join(c.dir, fmt.Sprint("worker-", i)), c.url))
	}
	for _, w := range c.workers {
		w.await(t, `Successfully registered with master`)
	}
	return c
}

func (c *cluster) daemon(class string, args ...string) *process {
	c.t.Helper()
	args = append([]string{"org.apache.spark.deploy." + class, "--host", "127.0.0.1", "--port", "0", "--webui-port", "0"}, args...)
	d := start(c.t, c.dir, c.env, filepath.Join(c.home, "bin", "spark-class"), args...)
	c.daemons = append(c.daemons, d)
	return d
}

// submit starts the driver.
func (c *cluster) submit(args ...string) *process {
	c.t.Helper()
	driver, err := filepath.Abs("spark/veilsum_spark.py")
	if err != nil {
		c.t.Fatal(err)
	}
	args = append([]string{
		"--master", c.url, "--driver-memory", "512m", "--executor-memory", "512m", "--executor-cores", "1",
		"--conf", "spark.driver.host=127.0.0.1", "--conf", "spark.driver.bindAddress=127.0.0.1", "--conf", "spark.ui.enabled=false",
		driver,
	}, args...)
	return start(c.t, c.dir, c.env, filepath.Join(c.home, "bin", "spark-submit"), args...)
}

// kill ends a worker, its executor and all that runs for them at once, as a lost machine does.
func (c *cluster) kill(worker *process) (killed []relative) {
	c.t.Helper()
	killed = descendants(worker.cmd.Process.Pid, marked(c.mark()))
	for _, p := range killed { // from the root: nobody sees his child die and tells of it
		if err := syscall.Kill(p.pid, syscall.SIGKILL); err != nil && err != syscall.ESRCH { // it may end with its parent
			c.t.Errorf("kill %v: %v", p, err)
		}
	}
	return killed
}

func (c *cluster) mark() string { return markEnv + "=" + c.dir }

// stop ends the cluster as an operator does. A process of it that stays fails the test.
func (c *cluster) stop() {
	for _, d := range slices.Backward(c.daemons) {
		_ = d.cmd.Process.Signal(syscall.SIGTERM) // a killed one has ended already
		select {
		case <-d.ended:
		case <-time.After(time.Minute): // what is left is found below
		}
	}
	left := marked(c.mark())
	for end := time.Now().Add(time.Minute); len(left) > 0 && time.Now().Before(end); left = marked(c.mark()) {
		time.Sleep(50 * time.Millisecond)
	}
	for _, p := range left {
		c.t.Errorf("left running by the cluster: %v", p)
		_ = syscall.Kill(p.pid, syscall.SIGKILL)
	}
}
