package harness

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Controller is a running `sluice controller` process.
type Controller struct {
	// Webhooks is the address that takes webhooks in.
	Webhooks string

	bin, log string
	args     []string
	health   string
	env      []string
	cmd      *exec.Cmd
	exited   chan struct{}
}

// StartController starts bin/sluice (or $SLUICE_BIN) against the playground,
// with its state and log under dir, and returns once it is ready.
func (p *Playground) StartController(ctx context.Context, dir string, args ...string) (*Controller, error) {
	bin := os.Getenv("SLUICE_BIN")
	if bin == "" {
		root, err := Root()
		if err != nil {
			return nil, err
		}
		bin = filepath.Join(root, "bin", "sluice")
	}
	health, err := freeAddr()
	if err != nil {
		return nil, err
	}
	webhooks, err := freeAddr()
	if err != nil {
		return nil, err
	}
	c := &Controller{
		Webhooks: "http://" + webhooks,
		bin:      bin, log: filepath.Join(dir, "sluice.log"), health: health,
		env: append(os.Environ(), "KUBECONFIG="+p.Kubeconfig),
		args: append([]string{"controller",
			"--storage-path", filepath.Join(dir, "data"), "--storage-addr", "127.0.0.1:0",
			"--metrics-addr", "127.0.0.1:0", "--health-addr", health, "--receiverAddr", webhooks, "--metrics-server", p.Prometheus}, args...),
	}
	return c, c.Start(ctx)
}

// Start starts the process, again after a [Controller.Kill], and waits for
// /readyz.
func (c *Controller) Start(ctx context.Context) error {
	log, err := os.OpenFile(c.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	cmd := exec.Command(c.bin, c.args...) // outlives ctx: Stop ends it in order
	cmd.Stdout, cmd.Stderr, cmd.Env = log, log, c.env
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("starting %s (make build): %w", c.bin, err)
	}
	exited := make(chan struct{})
	c.cmd, c.exited = cmd, exited
	go func() { _ = cmd.Wait(); close(exited) }()
	return c.ready(ctx)
}

func (c *Controller) ready(ctx context.Context) error {
	_, err := Eventually(ctx, "the controller's readiness", time.Minute, func(ctx context.Context) (bool, string) {
		select {
		case <-c.exited:
			return true, ""
		default:
		}
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+c.health+"/readyz", nil)
		if err != nil {
			return false, err.Error()
		}
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return false, err.Error()
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK, resp.Status
	})
	select {
	case <-c.exited:
		return errors.Join(errors.New("the controller exited"), errors.New(c.Tail(2000)))
	default:
		return err
	}
}

// Kill ends the process as a crash would, with SIGKILL.
func (c *Controller) Kill() {
	_ = c.cmd.Process.Kill()
	<-c.exited
}

// Stop ends the process in order.
func (c *Controller) Stop() {
	_ = c.cmd.Process.Signal(syscall.SIGTERM)
	select {
	case <-c.exited:
	case <-time.After(20 * time.Second):
		c.Kill()
	}
}

// Log is the path of the process's log.
func (c *Controller) Log() string { return c.log }

// Tail is the last n bytes of the process's log.
func (c *Controller) Tail(n int) string {
	data, err := os.ReadFile(c.log)
	if err != nil {
		return err.Error()
	}
	return string(data[max(0, len(data)-n):])
}

// ticksPerSecond is the unit of /proc/PID/stat; Linux fixes it for user space.
const ticksPerSecond = 100

// CPU is the processor time that the process has used, user and system.
func (c *Controller) CPU() (time.Duration, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	_, rest, _ := strings.Cut(string(data), ") ")
	fields := strings.Fields(rest)
	if len(fields) < 13 {
		return 0, errors.New("unexpected /proc stat line")
	}
	user, err := strconv.Atoi(fields[11])
	if err != nil {
		return 0, err
	}
	system, err := strconv.Atoi(fields[12])
	return time.Duration(user+system) * time.Second / ticksPerSecond, err
}

// RSS is the process's resident memory in bytes.
func (c *Controller) RSS() (int64, error) {
	data, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(data)) {
		if value, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			kib, err := strconv.ParseInt(strings.Fields(value)[0], 10, 64)
			return kib * 1024, err
		}
	}
	return 0, errors.New("no VmRSS")
}
