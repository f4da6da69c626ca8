package control

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"github.com/sabot-stream/sabot"
)

// Security says who may speak with whom. Files are read when a connection is set up. The tags make its fields flags.
type Security struct {
	TokenFile string `help:"File with the secret that all processes of the job share." placeholder:"FILE"`
	CertFile  string `name:"tls-cert" help:"This process's certificate." placeholder:"FILE"`
	KeyFile   string `name:"tls-key" help:"Its key." placeholder:"FILE"`
	CAFile    string `name:"tls-ca" help:"Authority of the other side's certificate, which is then asked for." placeholder:"FILE"`
}

// token returns the content of the token file, "" when there is none.
func (s Security) token() (string, error) {
	if s.TokenFile == "" {
		return "", nil
	}
	b, err := os.ReadFile(s.TokenFile)
	if err != nil {
		return "", sabot.WithKind(sabot.Invalid, fmt.Errorf("read the token: %w", err))
	}
	t := strings.TrimSpace(string(b))
	if len(t) < 16 {
		return "", sabot.WithKind(sabot.Invalid, fmt.Errorf("the token in %s has %d characters, and needs 16 or more", s.TokenFile, len(t)))
	}
	return t, nil
}

// tls returns the configuration of either side, nil when there are no certificates.
func (s Security) tls() (*tls.Config, error) {
	if s.CertFile == "" && s.KeyFile == "" && s.CAFile == "" {
		return nil, nil
	}
	c := &tls.Config{MinVersion: tls.VersionTLS13}
	if s.CertFile != "" || s.KeyFile != "" {
		pair, err := tls.LoadX509KeyPair(s.CertFile, s.KeyFile)
		if err != nil {
			return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("load the certificate %s and key %s: %w", s.CertFile, s.KeyFile, err))
		}
		c.Certificates = []tls.Certificate{pair}
	}
	if s.CAFile != "" {
		pem, err := os.ReadFile(s.CAFile)
		if err != nil {
			return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("read the CA: %w", err))
		}
		pool := x509.NewCertPool()
		if !pool.AppendCertsFromPEM(pem) {
			return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("%s holds no certificate", s.CAFile))
		}
		c.RootCAs, c.ClientCAs, c.ClientAuth = pool, pool, tls.RequireAndVerifyClientCert
	}
	return c, nil
}

// loopback tells whether nobody but this machine can reach an address.
func loopback(addr string) bool {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// server returns the options of a server at addr.
func (s Security) server(addr string) ([]grpc.ServerOption, error) {
	token, err := s.token()
	if err != nil {
		return nil, err
	}
	conf, err := s.tls()
	if err != nil {
		return nil, err
	}
	if token == "" && (conf == nil || conf.ClientCAs == nil) && !loopback(addr) {
		return nil, sabot.WithKind(sabot.Invalid, fmt.Errorf("listening on %s without a token: anybody could take part in the job; give --token-file, or "+
			"--tls-cert, --tls-key and --tls-ca, or listen on 127.0.0.1", addr))
	}
	if conf != nil && len(conf.Certificates) == 0 {
		return nil, sabot.WithKind(sabot.Invalid, errors.New("a server with TLS needs --tls-cert and --tls-key"))
	}
	var opts []grpc.ServerOption
	if conf != nil {
		opts = append(opts, grpc.Creds(credentials.NewTLS(conf)))
	}
	if token != "" {
		want := sha256.Sum256([]byte(token))
		opts = append(opts,
			grpc.UnaryInterceptor(func(ctx context.Context, req any, _ *grpc.UnaryServerInfo, h grpc.UnaryHandler) (any, error) {
				if err := admit(ctx, want); err != nil {
					return nil, err
				}
				return h(ctx, req)
			}),
			grpc.StreamInterceptor(func(srv any, st grpc.ServerStream, _ *grpc.StreamServerInfo, h grpc.StreamHandler) error {
				if err := admit(st.Context(), want); err != nil {
					return err
				}
				return h(srv, st)
			}))
	}
	return opts, nil
}

const authorization = "authorization"

func admit(ctx context.Context, want [32]byte) error {
	md, _ := metadata.FromIncomingContext(ctx)
	for _, v := range md.Get(authorization) {
		got := sha256.Sum256([]byte(strings.TrimPrefix(v, "Bearer ")))
		if subtle.ConstantTimeCompare(got[:], want[:]) == 1 {
			return nil
		}
	}
	return status.Error(codes.Unauthenticated, "the token is missing or not this job's; give both sides the same --token-file")
}

// client returns the options of a client.
func (s Security) client() ([]grpc.DialOption, error) {
	token, err := s.token()
	if err != nil {
		return nil, err
	}
	conf, err := s.tls()
	if err != nil {
		return nil, err
	}
	creds := insecure.NewCredentials()
	if conf != nil {
		creds = credentials.NewTLS(conf)
	}
	opts := []grpc.DialOption{grpc.WithTransportCredentials(creds)}
	if token != "" {
		opts = append(opts, grpc.WithPerRPCCredentials(bearer(token)))
	}
	return opts, nil
}

// bearer sends a token. Without TLS it can be read on the way: that is for networks that are trusted.
type bearer string

func (b bearer) GetRequestMetadata(context.Context, ...string) (map[string]string, error) {
	return map[string]string{authorization: "Bearer " + string(b)}, nil
}

func (bearer) RequireTransportSecurity() bool { return false }

func (bearer) String() string { return "bearer token" } // so that no log shows it
