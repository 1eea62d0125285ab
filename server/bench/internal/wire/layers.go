package wire

import (
	"path/filepath"

	"github.com/proglog/proglog/server/bench/internal/child"
	"github.com/proglog/proglog/server/bench/internal/peer"
)

// Layer is a server of log.v1 made of fewer parts than ours, behind the same
// unmodified grpc-go client: what each part costs is told from the difference.
type Layer struct {
	Kind  string // of package child: [child.HTTP] or [child.Connect]
	Store string // of package child
}

// Name implements [peer.Peer].
func (p Layer) Name() string {
	switch {
	case p.Kind == child.HTTP:
		return NameLayerHTTP
	case p.Store == child.Memory:
		return NameLayerConnectMemory
	}
	return NameLayerConnect
}

// About implements [peer.Peer].
func (p Layer) About() string {
	switch {
	case p.Kind == child.HTTP:
		return "net/http's HTTP/2 with a handler that reads the message and answers it, on a store in memory; a grpc-go client"
	case p.Store == child.Memory:
		return "stock connect handlers on a store in memory; a grpc-go client"
	}
	return "stock connect handlers on the same engine as proglog; a grpc-go client"
}

// Open implements [peer.Peer].
func (p Layer) Open(dir string, load peer.Load) (peer.Subject, error) {
	if err := checkLoad(load); err != nil {
		return nil, err
	}
	s, err := startChild(child.Config{Kind: p.Kind, Dir: filepath.Join(dir, "data"), Store: p.Store}, load)
	if err != nil {
		return nil, err
	}
	return newGRPCSubject(s, s.process.Ready, 0)
}
