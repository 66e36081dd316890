"""The tls process: it has private keys and the state of TLS connections; workers have their plain ends."""
