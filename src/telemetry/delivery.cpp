// telemetry/delivery.cpp
//
// Who an outcome speaks for and against; on the worker, with every record.
#include "telemetry/delivery.h"

namespace portloom::telemetry {

Verdict verdict_of(const pipeline::Record& record) {
  if (record.status == 0 || (record.status >= 400 && record.status < 500)) return Verdict::excused;
  if (record.fault && record.fault->side == Side::client) return Verdict::excused;
  if (record.status >= 500 || record.fault || !record.complete) return Verdict::failed;  // with a fault: cut, or gRPC's words for it
  return Verdict::delivered;
}

Verdict verdict_of_service(const pipeline::Record& record, Verdict whole) {
  bool ours = record.fault && record.fault->side == Side::gateway;
  return whole == Verdict::failed && ours ? Verdict::excused : whole;
}

void RouteDelivery::count(const pipeline::Record& record, Verdict whole, Duration latency) {
  if (whole == Verdict::excused) return;
  counted.add();
  if (whole != Verdict::delivered) return;
  answered.add();
  if (!record.degraded) complete.add();
  if (latency == Duration{} || record.status == 101 || record.duration <= latency) in_time.add();  // a tunnel's life is no latency
}

void CompositionDelivery::count(Verdict verdict, bool degraded) {
  if (verdict != Verdict::delivered && verdict != Verdict::failed) return;
  counted.add();
  if (verdict != Verdict::delivered) return;
  answered.add();
  if (!degraded) complete.add();
}

// A page that is asked for while a worker counts agrees with itself: what follows from another count is never more than that.
void RouteDelivery::add_to(Delivered::Answers& total) const {
  total.in_time += in_time.value();
  total.complete += complete.value();
  total.answered += answered.value();
  total.counted += counted.value();
}

void ServiceDelivery::add_to(Delivered::Answers& total) const {
  total.answered += delivered.value();
  total.counted += counted.value();
}

void CompositionDelivery::add_to(Delivered::Composition& total) const {
  total.answers.complete += complete.value();
  total.answers.answered += answered.value();
  total.answers.counted += counted.value();
  made.each([&](std::string_view call, uint32_t, uint64_t count) { total.made[std::string(call)] += count; });
}

}  // namespace portloom::telemetry
