package rpc

import "net/http"

// Handler is what the server's connections are given to.
func (s *Server) Handler() http.Handler { return s.http.Handler }
