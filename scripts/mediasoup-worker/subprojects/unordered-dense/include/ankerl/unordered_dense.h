// The part of ankerl::unordered_dense that mediasoup's worker uses, on the standard containers.
#pragma once
#include <cstdint>
#include <functional>
#include <unordered_map>
#include <unordered_set>

namespace ankerl::unordered_dense
{
	// std::hash leaves integers as they are; the worker's own hashes build on mixed bits (splitmix64).
	template<typename T>
	struct hash
	{
		uint64_t operator()(const T& value) const noexcept
		{
			uint64_t bits = static_cast<uint64_t>(std::hash<T>{}(value)) + 0x9e3779b97f4a7c15ULL;
			bits          = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9ULL;
			bits          = (bits ^ (bits >> 27)) * 0x94d049bb133111ebULL;

			return bits ^ (bits >> 31);
		}
	};

	template<typename K, typename V, typename Hash = hash<K>, typename Equal = std::equal_to<K>>
	using map = std::unordered_map<K, V, Hash, Equal>;

	template<typename K, typename Hash = hash<K>, typename Equal = std::equal_to<K>>
	using set = std::unordered_set<K, Hash, Equal>;
} // namespace ankerl::unordered_dense
