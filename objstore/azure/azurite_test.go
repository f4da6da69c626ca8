package azure_test

import (
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The account that every Azurite has, and its key, which is no secret.
const (
	account = "devstoreaccount1"
	key     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// azurite starts Microsoft's emulator with nothing in it, and returns the URL of its account, whose credentials are in the environment. The
// program is SABOT_AZURITE, the path of azurite-blob, or what `make azurite` has installed; without one the test is skipped.
func azurite(t *testing.T) (endpoint string) {
	t.Helper()
	program := os.Getenv("SABOT_AZURITE")
	if program == "" {
		program = filepath.Join("..", "..", ".tools", "azurite", "node_modules", ".bin", "azurite-blob")
		if _, err := os.Stat(program); err != nil {
			t.Skip("there is no Azurite: `make azurite` installs it, or SABOT_AZURITE names azurite-blob")
		}
	}
	t.Setenv("AZURE_STORAGE_ACCOUNT", account)
	t.Setenv("AZURE_STORAGE_KEY", key)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	// Versions of the API that are newer than the emulator are let through: what this package asks for is old.
	cmd := exec.Command(program, "--blobPort", fmt.Sprint(port), "--inMemoryPersistence", "--skipApiVersionCheck", "--disableTelemetry", "--silent")
	cmd.Stderr = os.Stderr // why it does not start
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill() // nothing of it is needed any more
		_ = cmd.Wait()
	})
	url := fmt.Sprintf("http://127.0.0.1:%d/%s", port, account)
	for began := time.Now(); ; time.Sleep(100 * time.Millisecond) {
		r, err := http.Get(url)
		if err == nil {
			r.Body.Close()
			return url
		}
		if time.Since(began) > time.Minute {
			t.Fatalf("Azurite does not answer: %v", err)
		}
	}
}
