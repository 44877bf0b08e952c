// io/tls_handshake.h
//
// What both sides of a handshake share. For tls_server.cpp and tls_client.cpp alone.
#pragma once

#include <memory>
#include <string>
#include <string_view>

#include "io/secure_channel.h"
#include "io/tls.h"

namespace portloom::io {

// With everything that does not depend on the side: versions, suites, groups, modes. Null when OpenSSL refuses.
ContextPointer new_context(const SSL_METHOD* method);
Result<void> use_certificate(SSL_CTX* context, const Certificate& certificate);

// `detail` and OpenSSL's last reason; empties its queue.
std::unexpected<Error> tls_failure(Code code, Side side, std::string detail);

// The host name of a server_name extension, lower case; empty when it is malformed or no host name.
std::string server_name_of(std::string_view extension);

// Until it is over. `side`: whose fault a failure is.
Task<Result<void>> shake_hands(Socket& raw, SecureChannel& secure, Side side, Instant deadline);

TlsFacts facts_of(SSL* ssl);

// The socket through which everything goes from now on.
Socket stand_on(Socket raw, std::unique_ptr<SecureChannel> secure);

}  // namespace portloom::io
