// upstream/balance.cpp
//
// round_robin: in turn; with weights by earliest virtual deadline, which spreads each endpoint's turns evenly. The others draw
// from an alias table (Walker 1977; Vose 1991), so that a draw costs the same for ten endpoints and for a thousand; of two
// drawn the less loaded is taken (Mitzenmacher, "The Power of Two Choices"), by requests in flight or by peak EWMA (Finagle).
// ring_hash and maglev ask a table (hash_table.h); a request without a value goes as with peak_ewma.
#include "upstream/balance.h"

#include <algorithm>
#include <cmath>

#include "async/agenda.h"
#include "base/check.h"
#include "base/text.h"

namespace portloom::upstream {

namespace {

// Instances that a value is led to by the table while those before cannot be asked; then the first in turn that can.
constexpr uint32_t detours = 16;

constexpr float memory = 10e9F;  // nanoseconds in which a latency fades to 1/e

uint64_t bit(size_t index) { return uint64_t{1} << (index % 64); }
float since(Instant then, Instant now) { return static_cast<float>((now - then).count()); }

}  // namespace

void Balancer::use(std::vector<Load*> loads, std::shared_ptr<const HashTable> table, std::vector<uint32_t> places) {
  loads_ = std::move(loads);
  table_ = std::move(table);
  places_ = std::move(places);
  weighted_ = std::any_of(loads_.begin(), loads_.end(), [this](const Load* load) { return load->weight != loads_.front()->weight; });
  turns_.clear();
  shares_.clear();
  aliases_.clear();
  next_ = loads_.empty() ? 0 : random_.below(loads_.size());  // workers do not begin with the same one
  if (!weighted_) return;
  if (method_ == config::Balance::round_robin)
    make_turns();
  else
    make_shares();
}

void Balancer::make_turns() {
  for (uint32_t i = 0; i < loads_.size(); ++i) turns_.push_back({1.0 / loads_[i]->weight, i});
  std::make_heap(turns_.begin(), turns_.end(), std::greater<>{});
}

void Balancer::make_shares() {
  size_t count = loads_.size();
  double sum = 0;
  for (const Load* load : loads_) sum += load->weight;
  std::vector<double> left(count);
  std::vector<uint32_t> small, large;
  shares_.assign(count, 1);
  aliases_.resize(count);
  for (uint32_t i = 0; i < count; ++i) {
    left[i] = loads_[i]->weight * static_cast<double>(count) / sum;
    aliases_[i] = i;
    (left[i] < 1 ? small : large).push_back(i);
  }
  while (!small.empty() && !large.empty()) {
    uint32_t poor = small.back();
    uint32_t rich = large.back();
    small.pop_back();
    shares_[poor] = static_cast<float>(left[poor]);
    aliases_[poor] = rich;
    left[rich] -= 1 - left[poor];
    if (left[rich] >= 1) continue;
    large.pop_back();
    small.push_back(rich);
  }
}

size_t Balancer::sample() {
  uint64_t index = random_.below(loads_.size());
  if (shares_.empty()) return index;
  float part = static_cast<float>(random_.next() >> 40) * 0x1p-24F;
  return part < shares_[index] ? index : aliases_[index];
}

size_t Balancer::next_in_turn() {
  if (turns_.empty()) {
    size_t index = next_;
    next_ = next_ + 1 == loads_.size() ? 0 : next_ + 1;
    return index;
  }
  // The earliest one's next turn replaces it at the top and sinks to its place.
  Turn turn = turns_.front();
  size_t index = turn.index;
  turn.due += 1.0 / loads_[index]->weight;
  size_t hole = 0;
  for (size_t child = 1; child < turns_.size(); child = 2 * hole + 1) {
    if (child + 1 < turns_.size() && turns_[child] > turns_[child + 1]) ++child;
    if (!(turn > turns_[child])) break;
    turns_[hole] = turns_[child];
    hole = child;
  }
  turns_[hole] = turn;
  if (turns_.front().due > 1e6) {  // long before a double loses the difference between two turns
    double begun = std::floor(turns_.front().due);
    for (Turn& one : turns_) one.due -= begun;
  }
  return index;
}

bool Balancer::fits(size_t index, uint64_t tried, Instant now) const {
  const Load& load = *loads_[index];
  return (tried & bit(index)) == 0 && !(load.unreachable && now < load.avoided_until);
}

// One that was slow and idle since is worth one request again, but not a burst of them: the memory fades only while nothing is
// in flight. A latency needs no division by the weight: it tells by itself what an endpoint can bear.
float Balancer::cost(const Load& load, Instant now) const {
  auto active = static_cast<float>(load.active);
  if (method_ == config::Balance::least_request) return active / static_cast<float>(load.weight);
  if (load.latency == 0) return active * static_cast<float>(penalty.count());  // one finds out, the others go elsewhere
  if (load.active > 0) return load.latency * (active + 1);
  return load.latency * std::exp(-since(load.measured, now) / memory);
}

size_t Balancer::choose(uint64_t tried, Instant now) {
  if (method_ == config::Balance::round_robin) return next_in_turn();
  size_t one = sample();
  if (method_ == config::Balance::random) return one;
  size_t other = sample();
  if (other == one && !weighted_) other = one + 1 == loads_.size() ? 0 : one + 1;  // with weights the same twice is their doing
  if (!fits(one, tried, now)) return other;
  if (!fits(other, tried, now)) return one;
  if (rests(*loads_[one], now) != rests(*loads_[other], now)) return rests(*loads_[one], now) ? other : one;
  return cost(*loads_[other], now) < cost(*loads_[one], now) ? other : one;
}

// Of one that has just come a tenth of its share, then more with every moment.
bool Balancer::sits_out(const Load& load, Instant now) {
  Duration warm = now - load.warm_since;
  if (warm >= slow_start_) return false;
  auto drawn = static_cast<int64_t>(random_.below(static_cast<uint64_t>(slow_start_.count())));
  return drawn >= std::max(warm.count(), slow_start_.count() / 10);
}

std::optional<size_t> Balancer::by_hash(uint64_t hash, uint64_t tried, Instant now) const {
  for (uint32_t again = 0; again < detours; ++again) {
    uint32_t index = places_[table_->find(hash, again)];
    if (index != nowhere && fits(index, tried, now)) return index;
  }
  for (size_t step = 0; step < loads_.size(); ++step) {
    size_t index = (hash + step) % loads_.size();
    if (fits(index, tried, now)) return index;
  }
  return std::nullopt;
}

size_t Balancer::draw(uint64_t tried, Instant now) {
  size_t count = loads_.size();
  size_t index = count == 1 ? 0 : choose(tried, now);
  if (slow_start_ > Duration{} && count > 1)
    for (int again = 0; again < 7 && sits_out(*loads_[index], now); ++again) index = choose(tried, now);
  if (rests(*loads_[index], now)) {
    auto well = [&](size_t at) { return fits(at, tried, now) && !rests(*loads_[at], now); };
    size_t step = 0;
    while (step < count && !well((index + step) % count)) ++step;
    if (step < count) index = (index + step) % count;
  }
  if (method_ == config::Balance::round_robin)
    for (size_t step = 1; step < count && !fits(index, tried, now); ++step) index = next_in_turn();
  for (size_t step = 0; step < count && !fits(index, tried, now); ++step) index = (index + 1) % count;
  if (!fits(index, tried, now))  // none does: then any that this request has not tried
    for (size_t step = 0; step < count && (tried & bit(index)) != 0; ++step) index = (index + 1) % count;
  return index;
}

size_t Balancer::pick(uint64_t& tried, Instant now, const Wish& wish) {
  std::optional<size_t> own = wish.index;
  if (own && !fits(*own, tried, now)) own = std::nullopt;
  if (!own && wish.hash && table_) own = by_hash(*wish.hash, tried, now);
  size_t index = own ? *own : draw(tried, now);
  tried |= bit(index);
  Load& picked = *loads_[index];
  if (picked.unreachable) picked.avoided_until = now + avoided_for;  // this request tries it, and no other meanwhile
  return index;
}

bool Balancer::has_other(uint64_t tried, Instant now) const {
  for (size_t index = 0; index < loads_.size(); ++index)
    if (fits(index, tried, now)) return true;
  return false;
}

std::optional<size_t> Balancer::whose_turn(Instant now) const {
  const Turn* first = nullptr;
  for (const Turn& turn : turns_)
    if (fits(turn.index, 0, now) && (first == nullptr || *first > turn)) first = &turn;
  if (first != nullptr) return first->index;
  for (size_t step = 0; step < loads_.size() && turns_.empty(); ++step)
    if (size_t index = (next_ + step) % loads_.size(); fits(index, 0, now)) return index;
  return std::nullopt;
}

std::optional<size_t> Balancer::favours(Instant now) const {
  if (loads_.size() == 1) return 0;
  if (method_ == config::Balance::random || table_ != nullptr) return std::nullopt;
  if (method_ == config::Balance::round_robin) return whose_turn(now);
  std::optional<size_t> best;
  bool alike = false;
  for (size_t index = 0; index < loads_.size(); ++index) {
    if (!fits(index, 0, now)) continue;
    float difference = best ? cost(*loads_[index], now) - cost(*loads_[*best], now) : -1;
    if (difference < 0) best = index;
    alike = difference == 0 || (alike && difference > 0);
  }
  return alike ? std::nullopt : best;
}

void Balancer::measure(Load& load, Duration took, Instant now) {
  auto latency = static_cast<float>(std::max(took, Duration(1us)).count());
  if (latency < load.latency) {  // a peak counts at once, what is better only by and by
    float old = std::exp(-since(load.measured, now) / memory);
    latency = load.latency * old + latency * (1 - old);
  }
  load.latency = latency;
  load.measured = now;
}

Stopwatch::~Stopwatch() {
  if (!running_) return;
  Instant now = Agenda::current().now();
  if (static_cast<float>((now - begun_).count()) > load_->latency) Balancer::measure(*load_, now - begun_, now);
}

// A date (RFC 9110 §10.2.3) is not looked at.
void Stopwatch::answered(uint16_t status, Instant now, std::string_view retry_after) {
  running_ = false;
  bool pushed_back = status == 429 || status == 503;
  std::optional<uint64_t> seconds = pushed_back ? parse_number(trim(retry_after)) : std::nullopt;
  if (seconds) {
    Duration rest =
        *seconds > static_cast<uint64_t>(Balancer::rest_most / 1s) ? Balancer::rest_most : Duration(1s) * static_cast<int64_t>(*seconds);
    load_->rests_until = std::max(load_->rests_until, now + rest);
  }
  Balancer::measure(*load_, pushed_back ? std::max(now - begun_, Balancer::penalty) : now - begun_, now);
}

void Stopwatch::failed(Instant now) {
  running_ = false;
  Balancer::measure(*load_, std::max(now - begun_, Balancer::penalty), now);
}

void Stopwatch::begin(Load& load, Instant now) {
  load_ = &load;
  begun_ = now;
  running_ = true;
}

}  // namespace portloom::upstream
