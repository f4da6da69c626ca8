package test

import (
	"bufio"
	"bytes"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/sabot-stream/sabot"

// allowed lists what each of our packages may import of ours, by prefix; a package that is not listed may import nothing of ours but the root.
// Everything but internal/row may import the root.
var allowed = map[string][]string{
	"":                    {"internal/row"},
	"internal/row":        {},
	"internal/clock":      {},
	"internal/telemetry":  {"checkpoint", "objstore", "objstore/fetch", "objstore/metered", "internal/clock"},
	"objstore/metered":    {"objstore", "internal/clock"},
	"internal/miniotest":  {},
	"arrow/batch":         {"arrow/rowkey", "internal/row"},
	"arrow/rowkey":        {},
	"arrow/kernel":        {"arrow/batch"},
	"objstore":            {},
	"objstore/mem":        {"objstore"},
	"objstore/file":       {"objstore", "internal/clock"},
	"objstore/fault":      {"objstore"},
	"objstore/s3":         {"objstore", "internal/clock"},
	"objstore/gcs":        {"objstore", "objstore/internal/gocloud"},
	"objstore/azure":      {"objstore", "objstore/internal/gocloud"},
	"objstore/internal":   {"objstore", "internal/clock"},
	"objstore/lease":      {"objstore", "internal/clock"},
	"objstore/diskcache":  {"internal/clock"},
	"objstore/fetch":      {"objstore", "objstore/diskcache", "internal/clock"},
	"objstore/storetest":  {"objstore"},
	"objstore/bucketurl":  {"objstore"},
	"checkpoint/pb":       {},
	"checkpoint":          {"checkpoint/pb", "objstore", "internal/clock"},
	"internal/coord":      {"checkpoint", "objstore", "internal/clock"}, // never engine, never objstate
	"objstate/segment":    {},
	"objstate":            {"objstate/segment", "objstore", "arrow"},
	"timers":              {},
	"exchange":            {"arrow", "timers"},
	"operators":           {"timers", "objstate", "arrow"},
	"internal/jsonl":      {},
	"internal/control/pb": {"checkpoint/pb"},
	"internal/control":    {"checkpoint/pb", "internal/control", "internal/coord", "internal/clock"},
	"internal/savepoint":  {"checkpoint", "objstore", "objstore/lease", "internal/control", "internal/clock"},
	"connectors":          {"objstore", "arrow", "internal/row", "internal/jsonl"},
	"connectors/conntest": {},
	"internal/bind":       {"arrow", "internal/row"},
	"internal/change":     {"checkpoint"},
	"view":                {"checkpoint", "objstate", "objstore", "objstore/fetch", "arrow", "internal/row", "internal/clock"},
	"internal/engine":     {"exchange", "operators", "timers", "checkpoint", "objstate", "objstore", "objstore/fetch", "arrow", "internal/bind", "internal/clock", "internal/compaction"},
	"internal/compaction": {"checkpoint", "objstate", "arrow"},
	"run":                 {"internal", "checkpoint", "objstore", "arrow"},
	"internal/exprtext":   {},
	"internal/sim":        {"checkpoint", "internal/coord", "objstore", "objstore/mem", "internal/clock"},
	"jobfile":             {"connectors", "internal/exprtext"},
	"cmd/internal/jobs":   {"examples", "jobfile", "run", "objstore", "objstore/azure", "objstore/gcs"},
	"cmd/worker":          {"cmd/internal/jobs", "run"},
	"cmd/coordinator":     {"cmd/internal/jobs", "run"},
	"cmd": {"checkpoint", "objstore", "view", "connectors/file", "internal/row", "internal/jsonl", "internal/clock", "internal/control", "internal/savepoint",
		"internal/benchcluster", "internal/benchcompact", "internal/benchmicro", "internal/benchstate", "cmd/internal/jobs"},
	"sabottest":   {"run", "objstore", "internal/row"},
	"examples":    {"run", "connectors", "examples/internal"},
	"test":        {"test"},
	"test/clicks": {"run", "connectors", "test/clicks"},

	"internal/benchbucket":  {"objstore/bucketurl", "internal/clock"},
	"internal/benchstate":   {"run", "connectors/callback", "checkpoint", "objstore", "objstore/bucketurl", "objstore/metered", "internal/benchbucket", "internal/clock"},
	"internal/benchcluster": {"run", "connectors/datagen", "checkpoint", "objstore", "objstore/bucketurl", "objstore/metered", "internal/benchbucket", "internal/clock", "internal/control"},
	"internal/benchcompact": {"checkpoint", "internal/coord", "internal/compaction", "objstate", "objstore", "objstore/mem", "arrow"},
	"internal/benchmicro":   {"run", "connectors/datagen", "operators", "timers", "objstate", "objstore", "objstore/fetch", "objstore/file", "objstore/mem", "arrow", "internal/clock"},
}

type goPackage struct {
	ImportPath string
	Doc        string
	Imports    []string
	GoFiles    []string
}

func packages(t *testing.T) []goPackage {
	t.Helper()
	cmd := exec.Command("go", "list", "-json=ImportPath,Doc,Imports,GoFiles", "./...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	var all []goPackage
	for d := json.NewDecoder(bytes.NewReader(out)); d.More(); {
		var p goPackage
		if err := d.Decode(&p); err != nil {
			t.Fatal(err)
		}
		all = append(all, p)
	}
	return all
}

// rule returns the longest listed prefix of a package.
func rule(pkg string) (string, []string) {
	for p := pkg; ; p = filepath.Dir(p) {
		if may, ok := allowed[p]; ok && (p != "" || pkg == "") {
			return p, may
		}
		if p == "." || p == "" || !strings.Contains(p, "/") {
			return "", nil
		}
	}
}

// Dependencies point one way.
func TestImportGraph(t *testing.T) {
	for _, p := range packages(t) {
		pkg := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		name, may := rule(pkg)
		for _, imp := range p.Imports {
			ours, ok := strings.CutPrefix(imp, module)
			ours = strings.TrimPrefix(ours, "/")
			if !ok || ours == "" && name != "internal/row" {
				continue
			}
			// A driver of objstore is imported by name; the prefix stands for the interface alone, except for those who open buckets.
			permitted := slices.ContainsFunc(may, func(m string) bool { return ours == m || strings.HasPrefix(ours, m+"/") })
			if strings.HasPrefix(ours, "objstore/") && !openers[name] && !slices.Contains(may, ours) {
				permitted = false
			}
			if !permitted {
				t.Errorf("%s imports %s: not among %v", orRoot(pkg), orRoot(ours), may)
			}
		}
	}
}

// openers may import drivers of objstore.
var openers = map[string]bool{"objstore/bucketurl": true, "connectors": true, "run": true, "cmd": true, "sabottest": true}

func orRoot(pkg string) string {
	if pkg == "" {
		return "the root"
	}
	return pkg
}

// The client's libraries stay where they belong.
func TestHeavyImportsStayInTheirPlace(t *testing.T) {
	only := map[string][]string{
		"github.com/alecthomas/kong":             {"run", "cmd/"},
		"github.com/apache/arrow-go/v18/parquet": {"connectors/file", "test/", "examples/"},
		"github.com/klauspost/compress":          {"objstate/segment"},
		"google.golang.org/protobuf": {"checkpoint", "internal/change", "internal/coord", "internal/compaction", "internal/engine", "internal/control", "internal/savepoint", "internal/sim",
			"cmd/sabot"},
		"github.com/google/flatbuffers": {"objstate/segment"},
		"github.com/valyala/fastjson":   {"connectors/file"},
		"github.com/minio/minio-go":     {"objstore/s3", "internal/miniotest"},
		"gocloud.dev":                   {"objstore/gcs", "objstore/azure", "objstore/internal/gocloud"},
		"cloud.google.com":              {"objstore/gcs"},
		"google.golang.org/api":         {"objstore/gcs"},
		"golang.org/x/oauth2":           {"objstore/gcs"},
		"github.com/Azure":              {"objstore/azure"},
		"google.golang.org/grpc":        {"internal/control"},
		"github.com/prometheus":         {"internal/telemetry"},
		"github.com/jedib0t/go-pretty":  {"run", "cmd/", "examples/", "connectors/stdout"},
	}
	for _, p := range packages(t) {
		pkg := strings.TrimPrefix(strings.TrimPrefix(p.ImportPath, module), "/")
		for _, imp := range p.Imports {
			for heavy, where := range only {
				if strings.HasPrefix(imp, heavy) && !slices.ContainsFunc(where, func(w string) bool { return strings.HasPrefix(pkg, w) }) {
					t.Errorf("%s imports %s, which belongs to %v", pkg, imp, where)
				}
			}
		}
	}
}

// A job's binary carries the libraries of a heavy store only when it asks for that store.
func TestHeavyStoresAreOptIn(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "./run", "./sabottest", "./connectors/...", "./examples/...")
	cmd.Dir = ".."
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	for pkg := range strings.FieldsSeq(string(out)) {
		for _, heavy := range []string{"gocloud.dev", "cloud.google.com/go", "github.com/Azure/", module + "/objstore/gcs", module + "/objstore/azure"} {
			if strings.HasPrefix(pkg, heavy) {
				t.Errorf("%s is in every job", pkg)
			}
		}
	}
}

func TestPackagesAreDocumented(t *testing.T) {
	for _, p := range packages(t) {
		if p.Doc == "" && len(p.GoFiles) > 0 && !strings.HasSuffix(p.ImportPath, "/pb") {
			t.Errorf("%s has no package comment", p.ImportPath)
		}
	}
}

// A reader never meets a wall: no file is longer than 800 lines.
func TestFilesAreShort(t *testing.T) {
	err := filepath.WalkDir("..", func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, ".pb.go") {
			return err
		}
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		n := 0
		for s := bufio.NewScanner(f); s.Scan(); n++ {
		}
		if n > 800 {
			t.Errorf("%s has %d lines", path, n)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}
