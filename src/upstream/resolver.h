// upstream/resolver.h
//
// Lookup: from a host name to its addresses. Resolver: the real one, c-ares: /etc/hosts and DNS, A and AAAA, TCP where an answer
// is cut short. It has no thread: the control thread's loop drives it while a question is out, and nobody else touches it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "async/task.h"
#include "base/duration.h"
#include "base/error.h"
#include "io/address.h"
#include "upstream/srv_records.h"

namespace portloom::upstream {

struct Answer {
  std::vector<io::Address> addresses;  // with port 0, sorted, without doubles; at most Lookup::addresses_max
  Duration ttl{0};                     // the shortest on the way
};

class Lookup {
 public:
  static constexpr size_t addresses_max = 1000;  // of one name; what is more is left out
  virtual ~Lookup() = default;
  // Code::no_endpoint: the name does not exist or has no address, says whoever must know. Code::unavailable: nobody could say.
  virtual Task<Result<Answer>> lookup(std::string name) = 0;
  // The SRV records of a name, in the same way.
  virtual Task<Result<SrvTargets>> targets(std::string name) = 0;
};

class Resolver final : public Lookup {
 public:
  // `servers`: host:port each; none: those of /etc/resolv.conf. Code::invalid when one cannot be used.
  static Result<std::unique_ptr<Resolver>> make(const std::vector<std::string>& servers);
  ~Resolver() override;
  [[clang::coro_wrapper]] Task<Result<Answer>> lookup(std::string name) override;
  [[clang::coro_wrapper]] Task<Result<SrvTargets>> targets(std::string name) override;
  // The same for many at once, without a loop: waits at most so long. By name.
  std::vector<Result<Answer>> lookup_now(const std::vector<std::string>& names, Duration wait_max);
  std::vector<Result<SrvTargets>> targets_now(const std::vector<std::string>& names, Duration wait_max);

 private:
  struct Library;
  template <class T>
  struct Question;
  explicit Resolver(std::unique_ptr<Library> library);
  std::shared_ptr<Question<Answer>> ask(const std::string& name);
  std::shared_ptr<Question<SrvTargets>> ask_targets(const std::string& name);
  template <class T>
  Task<Result<T>> answered(std::shared_ptr<Question<T>> question);
  template <class T>
  std::vector<Result<T>> answered_now(const std::vector<std::shared_ptr<Question<T>>>& questions, Duration wait_max);

  std::unique_ptr<Library> library_;
};

}  // namespace portloom::upstream
