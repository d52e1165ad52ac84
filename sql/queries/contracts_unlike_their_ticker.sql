-- What a ticker does not say: an underlying that is not its root (adjusted and index series), another size than 100.
SELECT contract, symbol, CASE WHEN is_standard OR shares_per_contract <> 100 THEN shares_per_contract END
FROM option_contracts
WHERE NOT is_standard OR shares_per_contract <> 100
   OR substring(contract FROM 3 FOR length(contract) - 17) <> translate(symbol, '.-', '')
