// app/demo_tour.h
//
// The demo's tour: asks the running gateway, as a user would with curl, and prints what it answers. A page of five services, the same with
// one of them off, an explain, a slip in the configuration, reloads under load; then what to try. On a thread of its own with a loop of
// its own: the control thread has to answer meanwhile.
#pragma once

#include <atomic>
#include <memory>
#include <string>
#include <thread>

#include "app/demo_client.h"
#include "app/demo_guide.h"
#include "io/loop.h"

namespace portloom::app {

class DemoTour {
 public:
  // `configuration` is what stands in facts.file(): the tour changes the file, and leaves it as it was.
  DemoTour(DemoFacts facts, std::string configuration);
  DemoTour(const DemoTour&) = delete;
  ~DemoTour() { stop(); }

  void start();
  // Ends it wherever it stands, and waits for that.
  void stop();

 private:
  struct Load;

  void run();
  static Task<void> walk(DemoTour* self);
  // Each prints a section. False, and failure_ says why, when the gateway did not answer.
  Task<bool> show_page();
  Task<bool> show_degraded_page();
  Task<bool> show_explanation();
  Task<bool> show_slip();
  Task<bool> show_reloads();

  Task<bool> ask(DemoClient& client, http::Method method, std::string path, std::string form = {});
  Task<bool> load(std::string configuration);
  static Task<void> keep_asking(DemoTour* self, Load* seen);
  bool write(const std::string& configuration) const;

  DemoFacts facts_;
  std::string configuration_;
  std::unique_ptr<io::Loop> loop_;
  DemoClient gateway_;
  DemoClient admin_;
  DemoClient::Reply reply_;  // of the last ask()
  std::string failure_;
  bool serving_ = false;  // at the tour's end
  std::atomic<bool> stopping_ = false;
  std::thread thread_;
};

}  // namespace portloom::app
