// data/json_members.h
//
// The members of one object, the items of one array, that slice() has found: where they stand. Pure functions over views; any thread.
#pragma once

#include <functional>
#include <string>
#include <string_view>

namespace portloom::data {

// Calls see(name, member) for each in the order written: the name as it stands between its quotes, and all of `"name": value`.
void each_json_member(std::string_view object, const std::function<void(std::string_view name, std::string_view member)>& see);

// The value in `"name": value`, as each_json_member gives it.
std::string_view json_value_of(std::string_view name, std::string_view member);

// Calls see(item) for each item of an array that slice() has found, in order.
void each_json_item(std::string_view array, const std::function<void(std::string_view item)>& see);

// Is `inside`, what stands between the quotes of a JSON string, this text?
bool json_string_is(std::string_view inside, std::string_view text);

}  // namespace portloom::data
